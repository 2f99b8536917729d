#include "plots.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/chart/chart.h"

namespace weft::bench {

namespace {

constexpr const char* colors[] = {"#d64545", "#2680c2", "#3ebd93", "#f0b429", "#9446ed", "#627d98", "#0c6b58", "#cb6e17"};

tools::Line& line_of(std::vector<tools::Line>& lines, const std::string& name) {
  for (tools::Line& line : lines)
    if (line.name == name) return line;
  tools::Line line{name, colors[lines.size() % std::size(colors)], {}, true};
  return lines.emplace_back(std::move(line));
}

}  // namespace

std::string ratio_plot(const std::vector<Record>& records) {
  int threads = 0;
  for (const Record& r : records)
    if (r["engine"] == "weft") threads = std::max(threads, r["threads"].get<int>());
  tools::Panel panel{.title = "", .x_label = "", .lines = {}, .y = tools::Scale::logarithmic};
  for (const Record& r : records) {
    if (r["engine"] != "weft" || r["threads"] != threads || r["status"] != "ok") continue;
    const std::string row = r["row"];
    bool any = false;
    for (const Record& peer : records) {
      if (peer["row"] != row || peer["threads"] != threads || peer["engine"] == "weft" || peer["status"] != "ok") continue;
      line_of(panel.lines, peer["engine"])
          .points.emplace_back(static_cast<double>(panel.names.size()), peer["ms"].get<double>() / r["ms"].get<double>());
      any = true;
    }
    if (any) panel.names.push_back(row);
  }
  for (tools::Line& line : panel.lines) line.joined = false;
  tools::Line level{"", "#102a43", {}};
  for (const double x : {-0.5, static_cast<double>(panel.names.size()) - 0.5}) level.points.emplace_back(x, 1);
  panel.lines.insert(panel.lines.begin(), level);
  panel.width = std::max(900.0, 34.0 * static_cast<double>(panel.names.size()) + 80);
  return tools::chart_svg(
      fmt::format("A peer's time over Weft's, {} thread{}", threads, threads == 1 ? "" : "s"), {panel});
}

std::string scaling_plot(const std::vector<Record>& records) {
  std::vector<tools::Panel> panels;
  for (const Record& r : records) {
    if (!r.contains("elements") || r["status"] != "ok") continue;
    const std::string title = r["row"];
    if (panels.empty() || panels.back().title != title)
      panels.push_back({.title = title, .x_label = "elements; time in ns an element", .lines = {},
                        .y = tools::Scale::logarithmic, .x = tools::Scale::logarithmic});
    const int threads = r["threads"];
    line_of(panels.back().lines, fmt::format("{} thread{}", threads, threads == 1 ? "" : "s"))
        .points.emplace_back(r["elements"].get<double>(), r["ns_per_element"].get<double>());
  }
  return tools::chart_svg("Cost of an element", panels);
}

}  // namespace weft::bench
