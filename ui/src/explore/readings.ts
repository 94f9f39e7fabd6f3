// What an instant query's answer says, a value a row.

import type { HistogramSample, Result, Sample, Series } from "../api";
import type { Format } from "../format";
import { number, titled } from "../series";

export interface Reading {
  name: string; // with the first value of a series
  time: number | null; // of a sample among several
  shown: string;
  stored: string;
}

const plain: Format = String;

export function readings({ resultType, result }: Result, query = "", format: Format = plain): Reading[] {
  const several = resultType === "matrix";
  const shown = ([, stored]: Sample) => (resultType === "string" ? stored : format(number(stored)));
  return result.flatMap((series) =>
    samplesOf(series).map((sample, index) => ({
      name: index ? "" : titled(series.metric, query),
      time: several ? sample[0] : null,
      ...(isHistogram(sample) ? totals(sample, format) : { shown: shown(sample), stored: sample[1] }),
    })),
  );
}

const isHistogram = (sample: Sample | HistogramSample): sample is HistogramSample => typeof sample[1] !== "string";

function samplesOf({ value, values = [], histogram, histograms = [] }: Series): (Sample | HistogramSample)[] {
  const found = [value, histogram, ...values, ...histograms].filter((sample) => sample !== undefined);
  return found.sort(([one], [other]) => one - other);
}

function totals([, { count, sum }]: HistogramSample, format: Format) {
  return { shown: `count ${plain(number(count))}, sum ${format(number(sum))}`, stored: `count ${count}, sum ${sum}` };
}
