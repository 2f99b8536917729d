// The `.weft` text of graphs: readable, complete, deterministic; it reads back to a graph with
// equal structure, types, labels and lines.
//
//   weft 1
//   graph "step" (%x, %t) {
//     %x = input : float32(N, 784)
//     %t = input : int64(N,) @ "model.cc":12
//     %2 = constant {value = float32(2,) [0.5, -inf]} : float32(2,)
//     %3 = sum(%x) {axes = [0], all = false, keepdims = false} : float32(784,) "the total"
//     return %3, %x
//   }
//
// A value whose label is a name that is still free is called by it; the others are numbered, and
// their label stands in quotes. `#` begins a comment. Types are optional on reading, where a rule
// gives them; a declared type has to agree. Attribute values: `true`, `3`, `0.5` (a double always
// has a point or an exponent), `"text"`, `[1, 2]` integers, `float64[0.5]` doubles, `(N, 3)`
// extents, `float32` a dtype, `float32(2,) [...]` a literal, `graph "f" (...) {...}`, `host "name"`
// an object of the host program (read back without the object). A literal is written `[...]`
// element by element, `splat v`, `base64 "..."` (its bytes, little endian) or `stored "name"` (a
// side store has it). NaNs other than the default one are `nan(0x...)`, so that bits survive.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "ir/graph.h"

namespace weft::ir {

struct TextOptions {
  bool types = true;
  bool locations = true;
  std::size_t inline_limit = 64;  // literals of more elements are splats, blobs or stored
  /// Puts a large literal into a side store and returns its name; without it they are blobs.
  std::function<std::string(const Literal&)> store_literal = {};
};

struct ParseOptions {
  std::function<Literal(std::string_view name)> load_literal = {};
  /// Bytes that all `splat` literals of the text may take together: a few characters ask for any
  /// amount.
  std::size_t splat_bytes = std::size_t{1} << 30;
};

std::string to_text(const Graph&, const TextOptions& = {});
/// Throws ParseError with line and column; never anything else on bad text. The first line may be
/// left out.
Graph parse_graph(std::string_view text, const ParseOptions& = {});

std::string to_text(const AttrValue&, const TextOptions& = {});
AttrValue parse_attr_value(std::string_view text, const ParseOptions& = {});
/// `{axes = [0], keepdims = false}`.
std::string to_text(const Attrs&, const TextOptions& = {});

}  // namespace weft::ir
