/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>

#include "supervisor/operator/html.h"
#include "supervisor/operator/plot.h"

enum {
	WIDTH = 720,
	HEIGHT = 100,
	WORDS_MAX = 32,
	TEXT_MAX = 256,
};

static unsigned
x_of(const struct plot *plot, size_t i)
{
	return plot->count < 2 ? 0 : (unsigned)(i * WIDTH / (plot->count - 1));
}

/* From above; the largest touches the top, 0 the bottom. */
static unsigned
y_of(int64_t value, int64_t most)
{
	double share = (double)value / (double)MAX(most, (int64_t)1);

	return HEIGHT - (unsigned)(share * HEIGHT);
}

/* One path for each stretch without a gap: a line, and the area under it. A
 * single value between two gaps is a short line. */
static void
write_stretch(struct buffer *out, const struct plot *plot, size_t from,
    size_t to, int64_t most)
{
	unsigned end = MAX(x_of(plot, to), x_of(plot, from) + 2);

	buffer_format(
	    out, "<path class=\"area\" d=\"M%u,%d", x_of(plot, from), HEIGHT);
	for (size_t i = from; i <= to; i++)
		buffer_format(
		    out, "L%u,%u", x_of(plot, i), y_of(plot->values[i], most));
	buffer_format(out, "L%u,%dZ\"/><path class=\"line\" d=\"M%u,%u", end,
	    HEIGHT, x_of(plot, from), y_of(plot->values[from], most));
	for (size_t i = from + 1; i <= to; i++)
		buffer_format(
		    out, "L%u,%u", x_of(plot, i), y_of(plot->values[i], most));
	if (from == to)
		buffer_format(
		    out, "L%u,%u", end, y_of(plot->values[from], most));
	buffer_text(out, "\"/>");
}

static void
write_curve(struct buffer *out, const struct plot *plot, int64_t most)
{
	size_t i = 0;

	while (i < plot->count) {
		size_t from = i;
		while (i < plot->count && plot->values[i] >= 0)
			i++;
		if (i > from)
			write_stretch(out, plot, from, i - 1, most);
		else
			i++;
	}
}

void
plot_write(struct buffer *out, const struct plot *plot)
{
	int64_t least = INT64_MAX, most = -1, last = -1;
	char low[WORDS_MAX], high[WORDS_MAX], now[WORDS_MAX], text[TEXT_MAX];

	for (size_t i = 0; i < plot->count; i++) {
		last = plot->values[i];
		if (last < 0)
			continue;
		least = MIN(least, last);
		most = MAX(most, last);
	}
	if (most < 0) {
		HTML(out,
		    "<figure class=\"plot\"><figcaption>{}</figcaption>"
		    "<p class=\"none\">unknown for the last {}</p></figure>",
		    plot->title, plot->span);
		return;
	}
	(void)snprintf(text, sizeof(text),
	    "%s over the last %s: now %s, least %s, most %s", plot->title,
	    plot->span,
	    last < 0 ? "unknown" : plot->words(last, now, sizeof(now)),
	    plot->words(least, low, sizeof(low)),
	    plot->words(most, high, sizeof(high)));
	HTML(out,
	    "<figure class=\"plot\"><figcaption>{} <span class=\"most\">most "
	    "{}</span></figcaption><svg role=\"img\" aria-label=\"{}\" ",
	    plot->title, plot->words(most, high, sizeof(high)), text);
	buffer_format(out,
	    "viewBox=\"0 -4 %d %d\" preserveAspectRatio=\"none\">", WIDTH,
	    HEIGHT + 8);
	write_curve(out, plot, most);
	HTML(out,
	    "</svg><p class=\"axis\"><span>{} ago</span><span>now</span></p>"
	    "</figure>",
	    plot->span);
}
