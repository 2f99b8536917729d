// Line charts as SVG: panels beside each other, each with its own axes.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace weft::tools {

struct Line {
  std::string name, color;
  std::vector<std::pair<double, double>> points;
  bool markers = false;  // a dot at each point, and the last value in figures
};

struct Panel {
  std::string title, x_label;
  std::vector<Line> lines;
  bool percent = false;  // values are shares of one
};

std::string chart_svg(const std::string& title, const std::vector<Panel>& panels);

}  // namespace weft::tools
