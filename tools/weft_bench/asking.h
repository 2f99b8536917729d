// Measurements by other processes: Weft's own, and the peers found on this machine, each started with what gets the
// best out of it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "report.h"

namespace weft::bench {

using Environment = std::vector<std::pair<std::string, std::string>>;

/// Who can be asked besides Weft: engines of this program, and programs that are there.
std::vector<std::string_view> peers_here();

/// What `engine` prints for `row`: a record a form of it, with a status "ok", or one that says how it ended; empty where
/// it has no such row.
std::vector<Record> ask(std::string_view engine, const std::string& row, int threads, double budget_ms,
                        Environment environment = {}, double seconds = 120);

}  // namespace weft::bench
