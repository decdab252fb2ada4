# SPDX-License-Identifier: Apache-2.0
# Every single fault that tests/mutate tries in a C file: "LINE<tab>THE LINE WITH
# IT". By patterns, within one line; what doesn't compile is no fault.

function fault(text) {
	if (text != $0)
		printf "%d\t%s\n", NR, text
}

# Each occurrence of one operator or word, one at a time, by another.
function swap(from, to,    at, done, rest) {
	for (rest = $0; (at = index(rest, from)) > 0; done = done from) {
		done = done substr(rest, 1, at - 1)
		rest = substr(rest, at + length(from))
		fault(done to rest)
	}
}

# A condition that stands whole on this line.
function negate(    head, tail) {
	head = substr($0, 1, index($0, "("))
	tail = substr($0, length(head) + 1)
	sub(/\)( \{)?$/, "", tail)
	if (gsub(/\(/, "(", tail) == gsub(/\)/, ")", tail))
		fault(head "!(" tail ")" (/\{$/ ? ") {" : ")"))
}

/\/\*/ { comment = 1 }
comment { comment = !/\*\//; next }
# Declarations, what is only said, what can't be.
/^[^\t]/ || /^\t+(static|const|struct|enum|log_[a-z]+|assert|case|default) ?/ { next }
/^\t+(\} else )?(if|while) \(.*\)( \{)?$/ { negate() }
{
	swap(" < ", " <= "); swap(" <= ", " < "); swap(" > ", " >= "); swap(" >= ", " > ")
	swap(" == ", " != "); swap(" != ", " == "); swap(" && ", " || "); swap(" || ", " && ")
	swap(" + ", " - "); swap(" - ", " + "); swap(" += ", " -= "); swap("++", "--")
	swap("true", "false"); swap("false", "true"); swap(" 0", " 1"); swap(" 1", " 2")
	swap("return -1", "return 0"); swap("return 0", "return -1")
}
# A call, an assignment or a way out that isn't there.
/^\t+[a-z_(*][^=]*(\(.*\)| [-+|&^]?= .*|\+\+|--);$/ && !/^\t+(return|int|bool|char|unsigned|[a-z0-9_]+_t) / ||
    /^\t+(continue|break);$/ || /^\t+return .*;$/ && was ~ /^\t+(if|while|for|\} else)/ { fault("\t;") }
{ was = $0 }
