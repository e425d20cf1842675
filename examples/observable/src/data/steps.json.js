// Both flows from the exports of `funnel publish`, while the page is built.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";

if (!process.env.FUNNEL_EXPORT) throw new Error("FUNNEL_EXPORT is not set: the folder `export` of the lake");
const folder = join(process.env.FUNNEL_EXPORT, "funnel_daily");
const columns = ["session_start_date", "account_id", "funnel", "unit", "breakdown", "step_index", "title", "reached", "rate_from_first"];
const days = await Promise.all((await readdir(folder)).sort().map(async (day) => {
  const file = await asyncBufferFromFile(join(folder, day, "part-0.parquet"));
  return parquetReadObjects({ file, columns, compressors });
}));
const steps = days.flat()
  .filter((row) => row.breakdown === "all" && row.unit === "session" && ["monitored", "unmonitored"].includes(row.funnel))
  .map((row) => ({
    day: row.session_start_date.toISOString().slice(0, 10),
    account: row.account_id,
    flow: row.funnel,
    index: row.step_index,
    title: row.title,
    reached: Number(row.reached),
    rate: row.rate_from_first,
  }))
  .sort((a, b) => a.index - b.index);
process.stdout.write(JSON.stringify(steps));
