// Images as text: half blocks in shades of grey on a terminal, a ramp of characters elsewhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weft::tools {

/// Lines of `width` columns for rows × columns values; the least is black, the greatest white.
std::vector<std::string> draw_image(std::span<const float> values, std::int64_t rows,
                                    std::int64_t columns, bool color);

/// What a network's scores say, best first: name, share of the probability, bar.
std::vector<std::string> describe_scores(std::span<const float> scores,
                                         const std::vector<std::string>& names,
                                         std::size_t how_many);

}  // namespace weft::tools
