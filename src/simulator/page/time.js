// A message's `ts` as a time of day and a day, in the reader's own time zone.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

/** When a message was written: `ts` is seconds since the epoch with a fraction that makes it unique. */
export function dateOf(ts) {
  return new Date(Number(ts) * 1000);
}

/** Hours and minutes. */
export function clock(ts) {
  return CLOCK.format(dateOf(ts));
}

/** The day, for a divider: "Today", or its name and date. */
export function day(ts, now = new Date()) {
  const date = dateOf(ts);
  return date.toDateString() === now.toDateString() ? "Today" : DAY.format(date);
}
