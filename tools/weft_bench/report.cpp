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

const Record* find(const std::vector<Record>& records, std::string_view row, std::string_view engine, int threads) {
  for (const Record& r : records)
    if (r["row"] == row && r["engine"] == engine && r["threads"] == threads && r["status"] == "ok") return &r;
  return nullptr;
}

double ratio(const Record& a, const Record& b, const char* member = "ms") {
  return a.at(member).get<double>() / b.at(member).get<double>();
}

std::string rate_of(const Record& r) {
  if (r.contains("GFLOP/s")) return fmt::format("{:.1f} GFLOP/s", r["GFLOP/s"].get<double>());
  if (r.contains("GB/s")) return fmt::format("{:.1f} GB/s", r["GB/s"].get<double>());
  return "";
}

std::string others_of(const std::vector<Record>& records, const Record& weft) {
  std::string out;
  for (const Record& peer : records) {
    if (peer["row"] != weft["row"] || peer["threads"] != weft["threads"] || peer["engine"] == "weft") continue;
    out += fmt::format("  {} ", peer["engine"].get<std::string>());
    out += peer["status"] == "ok" ? text_of(peer["ms"]) : peer["status"].get<std::string>();
  }
  return out;
}

/// How two threads stood to each other before and after, as far as that was the same.
std::string placed(const Record& r) {
  const auto stood = [&](int i) {
    const Placement at{.meet_ns = r["meet_ns"][i], .together = r["together"][i]};
    return at.one_core() ? "one core" : at.meet_ns < 150 ? "near" : "apart";
  };
  return std::string(stood(0)) == stood(1) ? stood(0) : "moved";
}

/// A column's text, or nothing where the record does not say.
template <class F> std::string where(bool known, F text) { return known ? text() : std::string(); }

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
  const auto limit = limits.find({std::string(name_of(row.bound)), record["threads"]});
  if (limit != limits.end()) record["floor_ms"] = least / limit->second / 1e6;
  // Best call against best bandwidth, measured in turn where that was done.
  if (record.value("limit", 0.0) > 0) {
    record["of_limit"] = least / record["beside_ms"].get<double>() / 1e6 / record["limit"].get<double>();
  } else if (limit != limits.end()) {
    record["of_limit"] = least / record["min_ms"].get<double>() / 1e6 / limit->second;
  }
}

const Record* best_peer(const std::vector<Record>& records, const Record& weft) {
  const Record* best = nullptr;
  for (const Record& r : records) {
    if (r["row"] != weft["row"] || r["threads"] != weft["threads"] || r["engine"] == "weft" || r["status"] != "ok")
      continue;
    const std::string engine = r["engine"];
    if (engine.ends_with("-blocked") || (engine.ends_with("-packed") && r["row"] == "M2")) continue;
    if (best == nullptr || r["ms"] < best->at("ms")) best = &r;
  }
  return best;
}

void print_table(const std::vector<Record>& records) {
  constexpr const char* line = "{:<16} {:>3}  {:>10} {:>10} {:>15}  {:>9} {:>7}  {:>24} {:>7}  {:>6} {:>8} {:>7}  {}\n";
  fmt::print("\n");
  fmt::print(fmt::runtime(line), "row", "thr", "weft", "its best", "rate", "floor", "x floor", "best peer", "x peer",
             "1 to 2", "placed", "peak MB", "peers");
  for (const Record& r : records) {
    if (r["engine"] != "weft" && r["engine"] != "limit") continue;
    const bool good = r["status"] == "ok";
    const bool limit = r["engine"] == "limit";
    const Record* peer = good && !limit ? best_peer(records, r) : nullptr;
    const Record* alone = good && r["threads"] == 2 && !limit ? find(records, r["row"].get<std::string>(), "weft", 1) : nullptr;
    const std::string rate = !good ? ""
                             : limit ? fmt::format("{:.1f} {}", r["limit"].get<double>(), r["unit"].get<std::string>())
                                     : rate_of(r);
    fmt::print(fmt::runtime(line), r["row"].get<std::string>(), r["threads"].get<int>(),
               limit ? "" : good ? text_of(r["ms"]) : r["status"].get<std::string>(),
               where(good && !limit, [&] { return text_of(r["min_ms"]); }), rate,
               where(r.contains("floor_ms"), [&] { return text_of(r["floor_ms"]); }),
               where(r.contains("of_limit"), [&] { return fmt::format("{:.2f}", 1 / r["of_limit"].get<double>()); }),
               where(peer != nullptr, [&] { return peer->at("engine").get<std::string>() + " " + text_of(peer->at("ms")); }),
               where(peer != nullptr, [&] { return fmt::format("{:.2f}", ratio(r, *peer)); }),
               where(alone != nullptr, [&] { return fmt::format("{:.2f}", ratio(*alone, r)); }),
               where(r.contains("meet_ns"), [&] { return placed(r); }),
               where(r.value("peak_mb", 0.0) > 0, [&] { return fmt::format("{:.0f}", r["peak_mb"].get<double>()); }),
               limit ? "" : others_of(records, r));
  }
  fmt::print("(x: Weft's time over the floor, best call by best limit, measured in turn; and over the best peer's, medians. "
             "placed: where the machine had Weft's two threads meanwhile: near, under one cache; apart; of one core; moved)\n");
}

void print_scaling(const std::vector<Record>& records) {
  fmt::print("\n{:<12} {:>3}  {:>9}  {:>12} {:>12}\n", "row", "thr", "elements", "a call", "an element");
  for (const Record& r : records) {
    if (!r.contains("elements") || r["status"] != "ok") continue;
    fmt::print("{:<12} {:>3}  {:>9}  {:>12} {:>9.4f} ns\n", r["row"].get<std::string>(), r["threads"].get<int>(),
               r["elements"].get<std::int64_t>(), text_of(r["ms"]), r["ns_per_element"].get<double>());
  }
}

}  // namespace weft::bench
