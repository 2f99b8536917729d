// Pictures of what was measured, as SVG.
#pragma once

#include "report.h"

namespace weft::bench {

/// Each peer's time over Weft's, row by row, with the most threads measured: above one Weft is the faster.
std::string ratio_plot(const std::vector<Record>& records);
/// Time an element from the least to the largest, a panel a row, a line a count of threads.
std::string scaling_plot(const std::vector<Record>& records);

}  // namespace weft::bench
