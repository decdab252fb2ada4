"use strict";
// What the server wrote is whole; this asks every two seconds for what changed
// of it, and says how long ago things were.
(() => {
	const EVERY_MS = 2000;
	const stale = document.getElementById("stale");
	const said = document.getElementById("said");
	let etag = "", since = 0;

	const length = (s) => {
		if (s < 120) return s + " s";
		if (s < 7200) return Math.floor(s / 60) + " min";
		if (s < 172800) return Math.floor(s / 3600) + " h";
		return Math.floor(s / 86400) + " d";
	};
	const ago = (seconds) => {
		const s = Math.round(seconds);
		return s < 0 ? "in " + length(-s) : length(s) + " ago";
	};
	const tell = () => {
		for (const time of document.querySelectorAll("time[datetime]")) {
			const text = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
			if (time.textContent !== text) {
				time.title = time.dateTime;
				time.textContent = text;
			}
		}
	};
	const headline = () => document.querySelector("#summary .badge").textContent;

	const put = (sections) => {
		const before = headline();
		for (const [id, html] of Object.entries(sections)) {
			const part = document.getElementById(id);
			if (!part || part.dataset.html === html) continue;
			// what was opened stays open
			const open = [...part.querySelectorAll("details[open][id]")].map((d) => d.id);
			part.innerHTML = html;
			part.dataset.html = html;
			for (const one of open) {
				const details = document.getElementById(one);
				if (details) details.open = true;
			}
		}
		if (headline() !== before) said.textContent = headline();
	};

	const ask = async () => {
		try {
			const answer = await fetch("page.json", {
				cache: "no-store",
				headers: etag ? { "If-None-Match": etag } : {},
				signal: AbortSignal.timeout(10000),
			});
			if (answer.status === 200) {
				put((await answer.json()).sections);
				etag = answer.headers.get("ETag") || "";
			} else if (answer.status !== 304) {
				throw new Error("HTTP " + answer.status);
			}
			since = 0;
		} catch (error) {
			since = since || Date.now();
			stale.textContent = "No answer from reeve (" + error.message + ") since " +
			    new Date(since).toLocaleTimeString() + ": what is below is old.";
		}
		stale.hidden = since === 0;
		document.documentElement.classList.toggle("old", since !== 0);
		tell();
		setTimeout(ask, document.hidden ? 5 * EVERY_MS : EVERY_MS);
	};
	tell();
	setTimeout(ask, EVERY_MS);
})();
