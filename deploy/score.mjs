// Scores the rows of a CSV file with a model that `advae export` wrote:
//   npm install onnxruntime-node
//   node score.mjs model.onnx rows.csv
// It prints a JSON record for each row. What each type of input stands for, docs/onnx.md says.
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import ort from "onnxruntime-node";

const BUCKETS = 32;

/** How a field of a CSV file, "" where missing, becomes an element of an input of each type. */
const READ = {
  string: (text) => text,
  float64: (text) => (text === "" ? NaN : Number(text)),
  int8: (text) => (text === "" ? -1 : Number(/^(true|1)$/i.test(text))),
  int32: (text) => (text === "" ? -1 : crc32(text) % BUCKETS),
  int64: (text) => (text === "" ? -(2n ** 63n) : microseconds(text)),
};
const ARRAY = { float64: Float64Array, int8: Int8Array, int32: Int32Array, int64: BigInt64Array };

/** A date, or a date and a time as the clock shows it, as microseconds since 1970. */
function microseconds(text) {
  const time = Date.parse(text.trim().replace(" ", "T").replace(/^([^T]+)$/, "$1T00:00:00") + "Z");
  if (Number.isNaN(time)) throw new Error(`${JSON.stringify(text)} is no time`);
  return BigInt(time) * 1000n;
}

/** The records of a CSV text: fields with commas, quotes or line breaks stand in quotes. */
function parse(text) {
  const rows = [[]];
  for (const [, field, quoted, end] of text
    .replace(/\r?\n$/, "")
    .matchAll(/("((?:[^"]|"")*)"|[^,\r\n]*)(,|\r?\n|$)/g)) {
    rows.at(-1).push(quoted === undefined ? field : quoted.replaceAll('""', '"'));
    if (end === "") break;
    if (end !== ",") rows.push([]);
  }
  const [names, ...records] = rows;
  return records.map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]])));
}

const [model, file] = process.argv.slice(2);
const session = await ort.InferenceSession.create(model, { logSeverityLevel: 3 });
const records = parse(readFileSync(file, "utf8"));
const feeds = {};
for (const { name, type } of session.inputMetadata) {
  const column = records.map((record) => {
    if (!(name in record)) throw new Error(`${file} has no column ${JSON.stringify(name)}`);
    return READ[type](record[name]);
  });
  const values = type === "string" ? column : ARRAY[type].from(column);
  feeds[name] = new ort.Tensor(type, values, [records.length]);
}
const found = await session.run(feeds);
for (let row = 0; row < records.length; row++) {
  console.log(
    JSON.stringify({
      anomaly_score: found.anomaly_score.data[row],
      is_anomaly: Boolean(found.is_anomaly.data[row]),
      p_value: found.p_value.data[row],
    }),
  );
}
