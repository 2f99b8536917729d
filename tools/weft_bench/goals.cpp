// What Weft means to reach.
#include <fmt/format.h>

#include "report.h"

namespace weft::bench {

namespace {

class Goals {
 public:
  explicit Goals(const std::vector<Record>& records) : records_(records) {}

  bool print() {
    fmt::print("\nGoals\n");
    for (const Record& r : records_) {
      if (r["engine"] != "weft" || r["status"] != "ok") continue;
      const std::string row = r["row"];
      const int threads = r["threads"];
      name_ = fmt::format("{}, {} thread{}", row, threads, threads == 1 ? "" : "s");
      if (const Record* peer = best_peer(records_, r))
        at_most("time over " + peer->at("engine").get<std::string>() + "'s", of(r, "ms") / of(*peer, "ms"), 1.05, "");
      if (const Row* known = find_row(row); known != nullptr && known->goal > 0 && r.contains("of_limit"))
        at_most("time over the floor", 1 / of(r, "of_limit"), known->goal, "");
      if (threads == 2) {
        const Record* alone = weft(row, 1);
        if (alone != nullptr && !row.starts_with("D1_") && of(*alone, "ms") > 1)
          at_least("times as fast as with one", of(*alone, "ms") / of(r, "ms"), 1.8);
        if (row.starts_with("T"))
          for (const Record& peer : records_)
            if (peer["row"] == row && peer["threads"] == threads && peer["engine"] == "libtorch" && peer["status"] == "ok")
              at_most("peak memory beside libtorch's", of(r, "peak_mb"), of(peer, "peak_mb"), "MB");
      }
      fixed(row, of(r, "ms"));
    }
    chains();
    return reached_;
  }

 private:
  static double of(const Record& r, const char* member) { return r.value(member, 0.0); }

  const Record* weft(std::string_view row, int threads) const {
    for (const Record& r : records_)
      if (r["row"] == row && r["engine"] == "weft" && r["threads"] == threads && r["status"] == "ok") return &r;
    return nullptr;
  }

  /// Times that no floor gives: calls of next to nothing, and first calls.
  void fixed(std::string_view row, double ms) {
    struct Fixed { std::string_view row; double ms; };
    for (const Fixed& goal : {Fixed{"E1", 0.00015}, {"E1_call", 0.0003}, {"D2", 0.0003}, {"D1_E3_cold", 12},
                              {"D1_T1_cold", 50}, {"D1_T4_train_cold", 120}, {"D1_E3_warm", 3}, {"D1_T1_warm", 6},
                              {"D1_T4_train_warm", 12}})
      if (goal.row == row) {
        if (goal.ms < 1) at_most("a call", ms * 1e3, goal.ms * 1e3, "us");
        else at_most("from nothing to the first result", ms, goal.ms, "ms");
      }
  }

  void chains() {
    const Record* small = nullptr;
    const Record* large = nullptr;
    for (const Record& r : records_) {
      if (!r.contains("nodes") || r["status"] != "ok") continue;
      if (small == nullptr) small = &r;
      large = &r;
    }
    if (small == large) return;
    const double grown = of(*large, "nodes") / of(*small, "nodes");
    name_ = fmt::format("a chain {:.0f} times as long", grown);
    at_most("processor time", of(*large, "cpu_ms") / of(*small, "cpu_ms"), 1.4 * grown, "x");
  }

  void at_most(const std::string& what, double found, double goal, std::string_view unit) {
    line(what, found, goal, found <= goal, unit);
  }
  void at_least(const std::string& what, double found, double goal) { line(what, found, goal, found >= goal, ""); }
  void line(const std::string& what, double found, double goal, bool good, std::string_view unit) {
    fmt::print("  {}  {:<58} {:>9.4g} {}  (goal {:.4g})\n", good ? "reached" : "MISSED ", name_ + ": " + what, found, unit,
               goal);
    reached_ = reached_ && good;
  }

  const std::vector<Record>& records_;
  std::string name_;
  bool reached_ = true;
};

}  // namespace

bool print_goals(const std::vector<Record>& records) { return Goals(records).print(); }

}  // namespace weft::bench
