export { type MetricReason, metricReasons } from "../metric-sample.ts";
export * from "./catalogue.ts";
export { MetricSources, type MetricSourcesOptions } from "./metric-sources.ts";
export { PrometheusSource, type PrometheusSourceOptions } from "./prometheus-source.ts";
export { ResourceSource, type ResourceSourceOptions } from "./resource-source.ts";
export { readSqlConnection } from "./sql-connection.ts";
export { SqlSource, type SqlSourceOptions } from "./sql-source.ts";
export { type TrafficReader, type TrafficReading, TrafficSource } from "./traffic-source.ts";
