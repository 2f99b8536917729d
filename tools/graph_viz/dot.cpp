#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tools/graph_viz/render.h"
#include "tools/markup.h"

namespace weft::tools {
namespace {

struct Style {
  const char* fill;
  const char* border;
};

Style style_of(Category category) {
  switch (category) {
    case Category::input: return {"#e8f0d8", "#7a9a3a"};
    case Category::constant: return {"#eceff1", "#90a4ae"};
    case Category::pointwise: return {"#dcebfa", "#4a90d9"};
    case Category::view: return {"#fff6d6", "#c9a227"};
    case Category::reduction: return {"#fde0d9", "#d9694a"};
    case Category::contraction: return {"#e8dcf7", "#8457c4"};
    case Category::expansion: return {"#ffffff", "#607d8b"};
    case Category::external: return {"#d6f3e6", "#2e9e6b"};
    case Category::output: return {"#3c4858", "#3c4858"};
  }
  __builtin_unreachable();
}

const char* change_border(Change change) {
  switch (change) {
    case Change::same: return "#b0bec5";
    case Change::changed: return "#e08e0b";
    case Change::added: return "#1b8a3a";
    case Change::removed: return "#d0021b";
  }
  __builtin_unreachable();
}
const char* change_fill(Change change) {
  switch (change) {
    case Change::same: return "#fafbfc";
    case Change::changed: return "#fff1d6";
    case Change::added: return "#d5f5dd";
    case Change::removed: return "#fbdcdf";
  }
  __builtin_unreachable();
}

/// In double quotes. A backslash before other characters would be Graphviz's own escape.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '"')
      out += "\\\"";
    else if (c == '\\')
      out += "\\\\";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out + '"';
}

std::string shortened(const std::string& text, std::size_t limit) {
  if (text.size() <= limit) return text;
  std::size_t end = limit;  // not inside a character
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

/// Small lines, the first few of many.
std::string list(const std::vector<std::string>& names, const char* mark, const char* color) {
  constexpr std::size_t shown = 4;
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), shown); ++i)
    out += fmt::format("<br/><font color=\"{}\" point-size=\"8\">{}{}</font>", color, mark,
                       markup(shortened(names[i], 44)));
  if (names.size() > shown)
    out += fmt::format("<br/><font color=\"{}\" point-size=\"8\">{}{} more</font>", color, mark,
                       names.size() - shown);
  return out;
}

std::string label(const Box& box) {
  std::string out = "<b>" + markup(shortened(box.title, 44)) + "</b>";
  if (!box.name.empty()) out += "<br/><i>" + markup(shortened(box.name, 44)) + "</i>";
  if (!box.type.empty())
    out += "<br/><font color=\"#52606d\" point-size=\"8\">" + markup(shortened(box.type, 44)) +
           "</font>";
  return out + list(box.reads, "◂ ", "#5b7a24") + list(box.writes, "▸ ", "#102a43");
}

std::string node_line(const Picture& picture, std::size_t i) {
  const Box& box = picture.boxes[i];
  const bool coloured = picture.shows_changes && box.category != Category::output;
  const Style style =
      coloured ? Style{change_fill(box.change), change_border(box.change)} : style_of(box.category);
  const bool leaf = box.category == Category::input || box.category == Category::constant ||
                    box.category == Category::output;
  std::string extra;
  if (box.category == Category::output) extra += ", fontcolor=white";
  if (leaf) extra += ", margin=\"0.1,0.03\"";
  return fmt::format(
      "n{} [id=\"n{}\", label=<{}>, fillcolor=\"{}\", color=\"{}\", style=\"filled,rounded{}\"{}, "
      "tooltip={}];\n",
      i, i, label(box), style.fill, style.border,
      box.change == Change::removed || box.copy ? ",dashed" : "", extra,
      quoted(shortened(box.details, 600)));
}

/// From white to orange.
std::string heat(double share) {
  const double t = std::sqrt(std::clamp(share, 0.0, 1.0));
  return fmt::format("#ff{:02x}{:02x}", static_cast<int>(250 - 110 * t),
                     static_cast<int>(244 - 200 * t));
}

std::string link_line(const Picture& picture, std::size_t i) {
  const Link& link = picture.links[i];
  std::string attributes = fmt::format("id=\"e{}\"", i);
  if (!link.label.empty()) attributes += ", label=" + quoted(link.label);
  if (link.type_only)
    attributes += ", style=dotted, constraint=false, tooltip=\"for its type only\"";
  if (link.change != Change::same)
    attributes += fmt::format(", color=\"{}\", penwidth=1.6{}", change_border(link.change),
                              link.change == Change::removed ? ", style=dashed" : "");
  const Box &from = picture.boxes[static_cast<std::size_t>(link.from)],
            &to = picture.boxes[static_cast<std::size_t>(link.to)];
  if (from.copy)
    attributes += ", weight=4";  // stays close
  else if (!picture.clusters.empty() && from.cluster != to.cluster && link.change == Change::same)
    attributes += ", color=\"#334e68\", penwidth=1.3";  // through memory
  return fmt::format("n{} -> n{} [{}];\n", link.from, link.to, attributes);
}

}  // namespace

namespace {

const char* name_of(Category category) {
  switch (category) {
    case Category::input: return "input, variable";
    case Category::constant: return "constant";
    case Category::pointwise: return "pointwise";
    case Category::view: return "view";
    case Category::reduction: return "reduction";
    case Category::contraction: return "contraction";
    case Category::expansion: return "stands for others";
    case Category::external: return "library";
    case Category::output: return "output";
  }
  __builtin_unreachable();
}

/// The title over a legend of the colours that occur.
std::string heading(const Picture& picture) {
  std::set<Category> categories;
  std::set<Change> changes;
  for (const Box& box : picture.boxes) categories.insert(box.category), changes.insert(box.change);
  std::string cells;
  const auto cell = [&](const char* fill, const char* color, const char* name) {
    cells += fmt::format("<td bgcolor=\"{}\"><font color=\"{}\" point-size=\"9\"> {} </font></td>",
                         fill, color, name);
  };
  if (picture.shows_changes) {
    for (const Change change : changes)
      cell(change_fill(change), "#243b53",
           change == Change::same      ? "as before"
           : change == Change::changed ? "changed"
           : change == Change::added   ? "added"
                                       : "removed");
  } else {
    for (const Category category : categories)
      cell(style_of(category).fill, category == Category::output ? "white" : "#243b53",
           name_of(category));
  }
  return "<<table border=\"0\" cellborder=\"0\" cellspacing=\"3\" cellpadding=\"2\"><tr><td "
         "colspan=\"9\">" +
         markup(picture.title) + "</td></tr><tr>" + cells + "</tr></table>>";
}

}  // namespace

std::string to_dot(const Picture& picture, bool left_to_right) {
  const bool large = picture.boxes.size() > 150;
  std::string out = fmt::format(
      "digraph {} {{\n"
      "graph [rankdir={}, fontname=\"DejaVu Sans,Verdana,sans-serif\", fontsize=14, labelloc=t, "
      "label={}, bgcolor=white, "
      "nodesep={}, ranksep={}, pad=0.2{}];\n"
      "node [shape=box, fontname=\"DejaVu Sans,Verdana,sans-serif\", fontsize=10, "
      "margin=\"0.1,0.05\", height=0.2, width=0.3];\n"
      "edge [fontname=\"DejaVu Sans,Verdana,sans-serif\", fontsize=8, color=\"#7b8794\", "
      "fontcolor=\"#52606d\", arrowsize=0.6];\n",
      quoted(picture.title), left_to_right ? "LR" : "TB", heading(picture), large ? 0.12 : 0.2,
      large ? 0.3 : 0.35, large ? ", nslimit=4, nslimit1=4, mclimit=0.6" : "");
  std::vector<std::vector<std::size_t>> inside(picture.clusters.size());
  for (std::size_t i = 0; i < picture.boxes.size(); ++i) {
    const Box& box = picture.boxes[i];
    if (box.cluster >= 0)
      inside[static_cast<std::size_t>(box.cluster)].push_back(i);
    else
      out += node_line(picture, i);
  }
  for (std::size_t k = 0; k < picture.clusters.size(); ++k) {
    if (inside[k].empty()) continue;
    const Cluster& cluster = picture.clusters[k];
    out += fmt::format(
        "subgraph cluster_{} {{\nid=\"k{}\"; label={}; labeljust=l; fontsize=9; "
        "fontcolor=\"#52606d\"; "
        "style=\"filled,rounded\"; fillcolor=\"{}\"; color=\"{}\"; margin=7; tooltip={};\n",
        k, k, quoted(cluster.title), cluster.share >= 0 ? heat(cluster.share) : "#f7f8fa",
        style_of(cluster.category).border, quoted(shortened(cluster.details, 600)));
    for (const std::size_t i : inside[k]) out += node_line(picture, i);
    out += "}\n";
  }
  for (std::size_t i = 0; i < picture.links.size(); ++i) out += link_line(picture, i);
  return out + "}\n";
}

}  // namespace weft::tools
