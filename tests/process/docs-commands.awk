# SPDX-License-Identifier: Apache-2.0
# Prints the `reeve` commands that Markdown files show, one a line: those in
# fenced blocks (continuation lines joined, comments and prompts taken off) and
# in `code`. What has placeholders (CMD, […], FILE…) is a form, not a command.
function show(line) {
	if (line !~ /^reeve [a-z-]/ || line ~ /^reeve [a-z-]+:/) return
	form = line
	gsub(/RV[0-9]+/, "", form)
	if (form !~ /[][|]|…|[.][.][.]|[A-Z][A-Z]/) print line
}
FNR == 1 { inside = 0; joined = "" }
/^[ ]*```/ { inside = !inside; next }
inside {
	line = joined $0
	joined = ""
	sub(/^[ ]*(\$ )?/, "", line)
	if (line ~ /\\$/) { sub(/\\$/, "", line); joined = line; next }
	sub(/[ ]+# .*$/, "", line)
	show(line)
	next
}
{
	count = split($0, part, "`")
	# in prose, `reeve WORD` names a command: it has a help
	for (i = 2; i <= count; i += 2)
		show(part[i] (part[i] ~ /^reeve [a-z-]+$/ ? " --help" : ""))
}
