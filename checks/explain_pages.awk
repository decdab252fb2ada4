# SPDX-License-Identifier: Apache-2.0
# From the rows of findings.def and the pages of docs/findings/ a C file with
# every page in it, so that `reeve explain` works offline. A row without a page
# ends the build.
BEGIN {
	print "/* Made by checks/explain_pages.awk. */"
	print "#include \"base/base.h\"\n"
	print "#include \"checks/explain.h\"\n"
	print "const struct explain_page explain_pages[] = {"
}
/^ROW\([0-9]+,/ {
	number = $0
	sub(/^ROW\(/, "", number)
	sub(/,.*/, "", number)
	page = "docs/findings/RV" number ".md"
	lines = 0
	printf "    {%d,\n", number
	while ((got = (getline line < page)) > 0) {
		gsub(/\\/, "\\\\", line)
		gsub(/"/, "\\\"", line)
		gsub(/\?/, "\\?", line)
		printf "        \"%s\\n\"\n", line
		lines++
	}
	if (got < 0 || lines == 0) {
		printf "%s: RV%d has no page (%s)\n", FILENAME, number, \
		    page > "/dev/stderr"
		failed = 1
		exit 1
	}
	close(page)
	print "    },"
}
END {
	if (failed)
		exit 1
	print "    {0, NULL},\n};"
}
