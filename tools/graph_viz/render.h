// Pictures as files.
#pragma once

#include <string>

#include "tools/graph_viz/picture.h"

namespace weft::tools {

/// Graphviz text. Box i has the id `n<i>`, link i `e<i>`, cluster i `k<i>`.
std::string to_dot(const Picture& picture, bool left_to_right);

/// What Graphviz makes of `dot`, in its format `svg` or `png`. Error when the program `dot` is missing or fails.
std::string run_graphviz(const std::string& dot, const std::string& format);

/// One page without any other file: the picture, moved and scaled with the mouse, searched, and read box by box.
std::string to_html(const Picture& picture, const std::string& svg);

}  // namespace weft::tools
