# SPDX-License-Identifier: Apache-2.0
# Lines "WHO KEY FIGURE…" into Markdown tables of medians; behind each, how
# many times the limit's figure that is: the median of the ratios of those that
# were measured one beside the other, where there are as many of both.

# A text of its own: gawk 5.2.1 frees an element that isn't there twice when it
# is handed to a function.
function figures(who, key, nr) {
	return (who, key, nr) in seen ? seen[who, key, nr] "" : ""
}

# As exact as its members are written.
function median(list, n, parts, i, j, swap, places) {
	n = split(list, parts, " ")
	if (n == 0)
		return ""
	places = parts[1] ~ /\./ ? length(parts[1]) - index(parts[1], ".") : 0
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && parts[j - 1] + 0 > parts[j] + 0; j--) {
			swap = parts[j]
			parts[j] = parts[j - 1]
			parts[j - 1] = swap
		}
	if (n % 2 == 1)
		return parts[(n + 1) / 2]
	return sprintf("%.*f", places, (parts[n / 2] + parts[n / 2 + 1]) / 2)
}

# How many times the second figure the first is; "" where that can't be said.
function quotient(ours, theirs) {
	if (ours == "" || theirs + 0 == 0)
		return ""
	return sprintf("%.4f", ours / theirs)
}

# How many times `limit` one is; "" where that can't be said.
function times(who, limit, key, nr, n, i, ours, theirs, list, one) {
	n = split(figures(who, key, nr), ours, " ")
	if (n == 0 || n != split(figures(limit, key, nr), theirs, " "))
		return quotient(median(figures(who, key, nr)), median(figures(limit, key, nr)))
	for (i = 1; i <= n; i++) {
		one = quotient(ours[i], theirs[i])
		if (one == "")
			return ""
		list = list " " one
	}
	return median(list)
}

# One cell; "–" for what wasn't or couldn't be measured.
function cell(who, key, nr, ratio, value, factor) {
	value = median(figures(who, key, nr))
	if (value == "")
		return (missed[who, key, nr] ? "none in time" : "–")
	factor = times(who, "limit", key, nr)
	if (!ratio || who == "limit" || factor == "")
		return value
	return sprintf("%s (%.2f×)", value, factor)
}

function row(title, key, nr, ratio, names, i, n, parts, line) {
	n = split(names, parts, " ")
	line = "| " title
	for (i = 1; i <= n; i++)
		line = line " | " cell(parts[i], key, nr, ratio)
	print line " |"
}

function head(first, names, i, n, parts, line, rule) {
	n = split(names, parts, " ")
	line = "| " first
	rule = "|---"
	for (i = 1; i <= n; i++) {
		line = line " | " parts[i]
		rule = rule "|---"
	}
	print line " |\n" rule "|"
}

# A target: what it is, a figure, its unit ("×", or none), the most that it may
# be. One that has no figure makes the whole run fail.
function target(title, value, unit, most, shown, verdict, most_shown) {
	if (value == "") {
		print "| " title " | | not measured | **missed** |"
		incomplete = 1
		return
	}
	if (unit == "×") {
		shown = sprintf("%.2f×", value)
		most_shown = most " ×"
	} else {
		shown = value + 0
		most_shown = most
	}
	verdict = value <= most ? "reached" : "**missed**"
	print "| " title " | ≤ " most_shown " | " shown " | " verdict " |"
}

function of(who, key, nr) {
	return median(figures(who, key, nr))
}

function ratio(title, key, nr, most) {
	target(title, times("reeve", "limit", key, nr), "×", most)
}

function targets(i, n, parts) {
	print "| target (reeve, the init alone) | wanted | here | |\n|---|---|---|---|"
	n = split("100 1000 " big, parts, " ")
	for (i = 1; i <= n; i++)
		ratio("start of " parts[i], "round" parts[i], 1, 1.3)
	ratio("stop of 1,000", "round1000", 8, 1.3)
	target("private dirty memory at 1,000 as PID 1, KiB", of("reeve", "memory", 2), "-", 300)
	target("PSS at 1,000 as PID 1, KiB", of("reeve", "memory", 1), "-", 1024)
	target("PSS at 1,000 with the operator, KiB", of("reeve+operator", "round1000", 3), "-", 12288)
	n = split("1 100 1000", parts, " ")
	for (i = 1; i <= n; i++) {
		ratio("restart among " parts[i] ", p50", "round" parts[i], 6, 1.3)
		ratio("restart among " parts[i] ", p99", "round" parts[i], 7, 3)
	}
	target("restart beside a crash loop of 100, p50", times("reeve-crashing", "limit", "round1", 6), "×", 3)
	target("processor time a restart, of many in a row, ms", of("reeve", "soak", 1), "-", 0.15)
	target("dirty memory after all restarts, KiB more", of("reeve", "soak", 2), "-", 16)
	target("descriptors after all restarts, more", of("reeve", "soak", 3), "-", 4)
	target("workers left after kill -9 of the init", of("reeve", "killed", 1), "-", 0)
	target("wake-ups a minute at rest", of("reeve", "idle", 1), "-", 0)
	target("wake-ups a minute at rest, 1,000 workers", of("reeve", "idle1000", 1), "-", 0)
	ratio("10,000 orphans", "storm", 1, 1.1)
	target("a start during that storm, ms late", of("reeve", "late", 1), "-", 50)
	target("SIGTERMs lost", of("reeve-run--", "lost", 1), "-", 0)
	target("SIGTERMs lost, to the group", of("reeve-run-g", "lost", 1), "-", 0)
}

{
	for (i = 3; i <= NF; i++)
		if ($i == "-")
			missed[$1, $2, i - 2] = 1
		else
			seen[$1, $2, i - 2] = seen[$1, $2, i - 2] " " $i
}

END {
	who = "limit limit-sessions reeve reeve-captured reeve+operator runit s6 supervisord"
	head("", who)
	row("100 workers started and reporting, ms", "round100", 1, 1, who)
	row("1,000, ms", "round1000", 1, 1, who)
	nbig = split(big, sizes, " ")
	for (s = 1; s <= nbig; s++)
		row(sizes[s] ", ms", "round" sizes[s], 1, 1, who)
	row("processor time of the supervisor for 1,000 starts, ms", "round1000", 2, 1, who)
	row("supervising processes at 1,000", "round1000", 5, 0, who)
	row("their PSS at 1,000, KiB", "round1000", 3, 0, who)
	row("their private dirty memory at 100, KiB", "round100", 4, 0, who)
	row("the same at 1,000, KiB", "round1000", 4, 0, who)
	for (s = 1; s <= nbig; s++)
		row("the same at " sizes[s] ", KiB", "round" sizes[s], 4, 0, who)
	row("restart after SIGKILL of one alone, p50 ms", "round1", 6, 1, who)
	row("the same, p99 ms", "round1", 7, 1, who)
	row("restart after SIGKILL among 100, p50 ms", "round100", 6, 1, who)
	row("the same, p99 ms", "round100", 7, 1, who)
	row("restart after SIGKILL among 1,000, p50 ms", "round1000", 6, 1, who)
	row("the same, p99 ms", "round1000", 7, 1, who)
	row("stop of 100, ms", "round100", 8, 1, who)
	row("stop of 1,000, ms", "round1000", 8, 1, who)
	row("processor time of the supervisor a restart, 100 workers, ms", "round100", 9, 1, who)
	row("the same, 1,000 workers", "round1000", 9, 1, who)
	row("the same, of workers that end at once, ms", "soak", 1, 0, who)
	row("workers of 100 left 1 s after kill -9 of the supervisor", "killed", 1, 0, who)
	row("as PID 1: PSS at 1,000, KiB", "memory", 1, 0, who)
	row("as PID 1: private dirty memory at 1,000, KiB", "memory", 2, 0, who)
	row("wake-ups a minute, 100 idle workers", "idle", 1, 0, who)
	row("the same, 1,000 idle workers", "idle1000", 1, 0, who)
	print ""
	who = "limit limit-sessions reeve reeve-run-- tini dumb-init catatonit runit s6 supervisord"
	head("as PID 1", who)
	row("10,000 orphans end at once: reaped after, ms", "storm", 1, 1, who)
	row("a start meanwhile, ms late at most", "late", 1, 0, who)
	row("ms that the supervisor waited for a processor meanwhile", "late", 2, 0, who)
	print ""
	who = "reeve-run-- reeve-run-g tini tini-g dumb-init catatonit catatonit-g"
	head("SIGTERM 0–4 ms after the start", who)
	row("accepted", "lost", 2, 0, who)
	row("of these lost", "lost", 1, 0, who)
	print ""
	targets()
	exit incomplete
}
