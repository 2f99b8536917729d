#include "report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "machine_limits.h"

namespace weft::bench {

namespace {

std::string text_of(double ms) {
  if (ms < 0.001) return fmt::format("{:.0f} ns", ms * 1e6);
  if (ms < 1) return fmt::format("{:.4g} us", ms * 1e3);
  return fmt::format("{:.4g} ms", ms);
}

const Record* find(const std::vector<Record>& records, std::string_view row, std::string_view engine,
                   int threads) {
  for (const Record& r : records)
    if (r["row"] == row && r["engine"] == engine && r["threads"] == threads && r["status"] == "ok")
      return &r;
  return nullptr;
}

std::string rate_of(const Record& r) {
  if (r.contains("GFLOP/s")) return fmt::format("{:.1f} GFLOP/s", r["GFLOP/s"].get<double>());
  if (r.contains("GB/s")) return fmt::format("{:.1f} GB/s", r["GB/s"].get<double>());
  return "";
}

struct Goals {
  bool reached = true;
  void line(std::string_view what, double found, double goal, bool good, std::string_view unit) {
    fmt::print("  {}  {:<58} {:>9.4g} {}  (goal {:.4g})\n", good ? "reached" : "MISSED ", what, found, unit, goal);
    reached = reached && good;
  }
  void at_most(std::string_view what, double found, double goal, std::string_view unit) {
    line(what, found, goal, found <= goal, unit);
  }
};

}  // namespace

void complete(Record& record, const Row& row, const LimitTable& limits) {
  const double ms = record["ms"];
  if (ms <= 0) return;
  if (row.bytes > 0) {
    record["bytes"] = row.bytes;
    record["GB/s"] = row.bytes / ms / 1e6;
  }
  if (row.flops > 0) {
    record["flops"] = row.flops;
    record["GFLOP/s"] = row.flops / ms / 1e6;
  }
  if (row.bound == Bound::none) return;
  const double least = row.bound == Bound::fma ? row.flops : row.bytes;
  record["bound"] = name_of(row.bound);
  // Best call against best bandwidth, measured in turn where that was done.
  if (record.value("limit", 0.0) > 0) {
    record["of_limit"] = least / record["beside_ms"].get<double>() / 1e6 / record["limit"].get<double>();
  } else if (const auto at = limits.find({std::string(name_of(row.bound)), record["threads"]}); at != limits.end()) {
    record["of_limit"] = least / record["min_ms"].get<double>() / 1e6 / at->second;
  }
}

void print_table(const std::vector<Record>& records) {
  fmt::print("\n{:<10} {:>3}  {:>11} {:>11} {:>11}  {:>15} {:>8}   others\n", "row", "thr", "weft", "best", "processor", "rate", "of limit");
  for (const Record& r : records) {
    if (r["engine"] == "limit") {
      fmt::print("{:<10} {:>3}  {:>11} {:>11} {:>11}  {:>15}\n", r["row"].get<std::string>(), r["threads"].get<int>(),
                 "", "", "", fmt::format("{:.1f} {}", r["limit"].get<double>(), r["unit"].get<std::string>()));
      continue;
    }
    if (r["engine"] != "weft") continue;
    const int threads = r["threads"];
    std::string others;
    for (const Record& peer : records) {
      if (peer["row"] != r["row"] || peer["threads"] != threads || peer["engine"] == "weft") continue;
      others += fmt::format("  {} ", peer["engine"].get<std::string>());
      if (peer["status"] != "ok") {
        others += peer["status"].get<std::string>();
        continue;
      }
      others += text_of(peer["ms"]);
      if (r["status"] == "ok")
        others += fmt::format(" (x{:.2f}, best x{:.2f})", peer["ms"].get<double>() / r["ms"].get<double>(),
                              peer["min_ms"].get<double>() / r["min_ms"].get<double>());
    }
    const bool good = r["status"] == "ok";
    fmt::print("{:<10} {:>3}  {:>11} {:>11} {:>11}  {:>15} {:>8} {}\n", r["row"].get<std::string>(), threads,
               good ? text_of(r["ms"]) : r["status"].get<std::string>(), good ? text_of(r["min_ms"]) : "",
               good ? text_of(r.value("cpu_ms", 0.0)) : "",
               good ? rate_of(r) : "",
               good && r.contains("of_limit") ? fmt::format("{:.0f} %", 100 * r["of_limit"].get<double>()) : "",
               others);
  }
  fmt::print("(x: the other's time over Weft's)\n");
}

bool print_goals(const std::vector<Record>& records) {
  fmt::print("\nGoals\n");
  Goals goals;
  if (const Record* r = find(records, "E1", "weft", 1))
    goals.at_most("E1 by call_into", r->at("ms").get<double>() * 1e3, 1, "us");
  if (const Record* r = find(records, "E1_call", "weft", 1))
    goals.at_most("E1 by f(x, y)", r->at("ms").get<double>() * 1e3, 2, "us");
  for (const int threads : {1, 2}) {
    if (const Record* r = find(records, "E2", "weft", threads)) {
      const double share = r->value("of_limit", 0.0);
      goals.line(fmt::format("E2 of the streaming triad, {} threads", threads), 100 * share, 80, share >= 0.8, "%");
    }
    const Record* ours = find(records, "T1", "weft", threads);
    const Record* theirs = find(records, "T1", "libtorch", threads);
    if (ours != nullptr && theirs != nullptr) {
      goals.at_most(fmt::format("T1 beside libtorch's time, {} threads", threads), ours->at("ms"), theirs->at("ms"), "ms");
      goals.at_most(fmt::format("the same, best calls, {} threads", threads), ours->at("min_ms"), theirs->at("min_ms"), "ms");
    }
    if (const Record* r = find(records, "D1_T1_cold", "weft", threads))
      goals.at_most(fmt::format("first call of T1's step, cold, {} threads", threads), r->at("first_call_ms"), 60, "ms");
    if (const Record* r = find(records, "D1_T1_warm", "weft", threads))
      goals.at_most(fmt::format("first call of T1's step, code on disk, {} threads", threads), r->at("first_call_ms"), 10, "ms");
  }
  const Record* small = nullptr;
  const Record* large = nullptr;
  for (const Record& r : records) {
    if (!r.contains("nodes") || r["status"] != "ok") continue;
    if (small == nullptr) small = &r;
    large = &r;
  }
  if (small != large) {
    const double grown = large->at("nodes").get<double>() / small->at("nodes").get<double>();
    goals.at_most(fmt::format("a chain {:.0f} times as long: processor time", grown),
                  large->at("cpu_ms").get<double>() / small->at("cpu_ms").get<double>(), 1.4 * grown, "x");
  }
  return goals.reached;
}

}  // namespace weft::bench
