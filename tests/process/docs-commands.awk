# SPDX-License-Identifier: Apache-2.0
# Prints the commands in the ```sh blocks of Markdown files, one a line:
# continuation lines joined, comments and prompts taken off.
FNR == 1 { inside = 0; joined = "" }
/^[ ]*```sh[ ]*$/ { inside = 1; next }
/^[ ]*```/ { inside = 0; next }
!inside { next }
{
	line = joined $0
	joined = ""
	sub(/^[ ]*(\$ )?/, "", line)
	if (line ~ /\\$/) { sub(/\\$/, "", line); joined = line; next }
	sub(/[ ]+# .*$/, "", line)
	if (line != "" && line !~ /^#/) print line
}
