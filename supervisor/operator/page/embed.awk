# SPDX-License-Identifier: Apache-2.0
# The files of the page as C texts: page.css is page_css[]. An empty one ends
# the build.
BEGIN {
	print "/* Made by supervisor/operator/page/embed.awk. */"
	print "#include \"base/base.h\"\n"
	print "#include \"supervisor/operator/page.h\""
	for (i = 1; i < ARGC; i++) {
		name = ARGV[i]
		sub(/.*\//, "", name)
		sub(/\./, "_", name)
		lines = 0
		printf "\nconst char %s[] =\n", name
		while ((getline line < ARGV[i]) > 0) {
			gsub(/\\/, "\\\\", line)
			gsub(/"/, "\\\"", line)
			gsub(/\?/, "\\?", line)
			printf "    \"%s\\n\"\n", line
			lines++
		}
		if (lines == 0) {
			printf "%s: empty or not there\n", ARGV[i] > "/dev/stderr"
			exit 1
		}
		print "    ;"
	}
}
