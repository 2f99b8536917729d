// What was measured, as records, a table, and a comparison with what Weft means to reach.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "work.h"

namespace weft::bench {

using Record = nlohmann::ordered_json;

/// Limits by (name, threads), in GB/s or GFLOP/s.
using LimitTable = std::map<std::pair<std::string, int>, double>;

/// Adds bytes, flops, their rates, the floor and the share of the machine's limit to a measurement of a row.
void complete(Record& record, const Row& row, const LimitTable& limits);

/// The quickest peer of this measurement of Weft among those that take and give what Weft does; null without one.
const Record* best_peer(const std::vector<Record>& records, const Record& weft);

void print_table(const std::vector<Record>& records);
void print_scaling(const std::vector<Record>& records);
/// Each goal with what was measured; false when one was missed. Goals whose rows were not measured are left out.
bool print_goals(const std::vector<Record>& records);

}  // namespace weft::bench
