const grouped = new Intl.NumberFormat();
const oneDecimal = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const THIN = "\u202f";

export const NONE = "–";
export const num = (value) => (value === null || value === undefined ? NONE : grouped.format(value));

export function pct(rate) {
  if (rate === null || rate === undefined) return NONE;
  if (rate > 0 && rate < 0.001) return `<${oneDecimal.format(0.1)}${THIN}%`;
  // 99.96 % must not read as if nobody had been lost.
  if (rate < 1 && rate >= 0.9995) return `>${oneDecimal.format(99.9)}${THIN}%`;
  return `${oneDecimal.format(rate * 100)}${THIN}%`;
}

// The bounds of a rate, such as 1.7–10.6 %.
export function range(low, high) {
  if (low === null || low === undefined || high === null || high === undefined) return "";
  return `${oneDecimal.format(low * 100)}–${oneDecimal.format(high * 100)}${THIN}%`;
}

const points = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" });
const signed = (part) => points.format(part * 100).replace("-", "−");
export const change = (part) => `${signed(part)}${THIN}%`;
export const pointsOf = (part) => `${signed(part)}${THIN}points`;

export function dur(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const t = Math.abs(seconds);
  const sign = seconds < 0 ? "−" : "";
  if (t === 0) return "0 s";
  if (t < 0.1) return `${sign}<${oneDecimal.format(0.1)} s`;
  if (t < 10) return `${sign}${oneDecimal.format(t)} s`;
  const whole = Math.round(t);
  if (whole < 60) return `${sign}${whole} s`;
  if (whole < 3600) return `${sign}${Math.floor(whole / 60)} m ${whole % 60} s`;
  if (whole < 86400) return `${sign}${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} m`;
  return `${sign}${grouped.format(Math.floor(whole / 86400))} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function stamp(iso) {
  if (!iso) return NONE;
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/.exec(iso);
  return match ? `${match[1]} ${match[2]} UTC` : iso;
}

const dayLong = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const dayShort = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const parse = (day) => new Date(`${day}T00:00:00Z`);
const isDay = (day) => /^\d{4}-\d\d-\d\d$/.test(day) && !Number.isNaN(parse(day).getTime());

export const long = (day) => (isDay(day) ? dayLong.format(parse(day)) : day);
export const short = (day) => (isDay(day) ? dayShort.format(parse(day)) : day);

export function addDays(day, days) {
  const date = parse(day);
  date.setUTCDate(date.getUTCDate() + days);
  return date.toISOString().slice(0, 10);
}
