#include "codegen/cuda/tile_text.h"

#include <algorithm>
#include <cassert>

namespace weft::codegen {
namespace {

using ir::Kernel;

/// Does an access lie along the axis, and not along the last one?
bool is_turned(const KernelFrame& frame, int access, std::size_t axis) {
  const auto& strides = frame.accesses[static_cast<std::size_t>(access)].strides;
  return strides[axis] == "1" && strides.back() != "0" && strides.back() != "1";
}

/// Elements from one line of a tile to the next: such that a column's lie in different banks.
std::int64_t pitch(DType t, int side) {
  return side + std::max<std::int64_t>(1, 4 / static_cast<std::int64_t>(size_of(t)));
}

class TileText {
 public:
  TileText(const Kernel& k, const KernelFrame& frame, const CudaSchedule& s,
           std::string_view tables, TextWriter& out)
      : k_(k),
        frame_(frame),
        s_(s),
        stage_(k.stages[0]),
        tables_(tables),
        out_(out),
        axis_(static_cast<std::size_t>(*turned_axis(k, frame))) {}

  void write();

 private:
  void write_place();
  void open_loops(std::string_view slow, std::string_view fast);
  void close_loops() { out_.close(), out_.close(), out_.close(); }
  void write_loads(bool turned_ones);
  void write_to_tiles();
  void write_results();
  void write_turned_stores();

  [[nodiscard]] bool turned(int access) const { return is_turned(frame_, access, axis_); }
  [[nodiscard]] std::string place(int access) const {
    return cat({pointer_text(k_, access), "[", frame_.offset(access), "]"});
  }
  [[nodiscard]] std::string_view type(int access) const {
    return cuda_type(element_type(k_, access));
  }
  [[nodiscard]] std::string x(std::size_t source) const {
    return "x" + str(static_cast<std::int64_t>(source));
  }
  [[nodiscard]] bool used(std::size_t source) const { return reads_input(stage_.body, source); }
  [[nodiscard]] int rows() const { return s_.threads / 32; }  // that a block walks at once

  const Kernel& k_;
  const KernelFrame& frame_;
  const CudaSchedule& s_;
  const ir::Stage& stage_;
  std::string_view tables_;
  TextWriter& out_;
  std::size_t axis_;  // a
};

/// `at_a` and `at_l`: where the tile begins on the turned and on the last axis; the coordinates of
/// the other axes.
void TileText::write_place() {
  const std::string_view i = frame_.index_type;
  const std::size_t last = frame_.extents.size() - 1;
  const std::string side = str(s_.tile);
  std::string rest = "tile";
  std::size_t step = 0;
  const auto take = [&](const std::string& extent, const std::string& target, bool tiled) {
    const std::string next = cat({"rest", str(static_cast<std::int64_t>(step++))});
    out_.line(cat({"const ", i, " ", next, " = ", rest, " / ", extent, ", ", target, " = (", rest,
                   " - ", next, " * ", extent, ")", tiled ? " * " + side : std::string(), ";"}));
    rest = next;
  };
  take("tiles_l", "at_l", true);
  take("tiles_a", "at_a", true);
  for (std::size_t j = last; j-- > 0;) {
    if (j != axis_) take(frame_.extents[j], "c" + str(static_cast<std::int64_t>(j)), false);
  }
}

/// Threads along the `fast` of the two axes; `i` and `j` are places in the tile on the slow and on
/// the fast one.
void TileText::open_loops(std::string_view slow, std::string_view fast) {
  const std::string_view type = frame_.index_type;
  const std::size_t last = frame_.extents.size() - 1;
  const auto name = [&](std::string_view which) {
    return "c" + str(static_cast<std::int64_t>(which == "a" ? axis_ : last));
  };
  const auto extent = [&](std::string_view which) {
    return frame_.extents[which == "a" ? axis_ : last];
  };
  out_.line("#pragma unroll");
  out_.open(cat({"for (int u = 0; u < ", str(s_.tile / rows()), "; ++u)"}));
  out_.line("#pragma unroll");
  out_.open(cat({"for (int w = 0; w < ", str(s_.tile / 32), "; ++w)"}));
  out_.line(cat({"const int i = ty + u * ", str(rows()), ", j = tx + w * 32;"}));
  out_.line(cat({"const ", type, " ", name(slow), " = at_", slow, " + i, ", name(fast), " = at_",
                 fast, " + j;"}));
  std::string within;
  for (const std::string_view which : {slow, fast}) {
    if (const auto known = number_of(extent(which)); known && *known % s_.tile == 0) continue;
    within.append(within.empty() ? "" : " && ").append(cat({name(which), " < ", extent(which)}));
  }
  out_.open(within.empty() ? "" : cat({"if (", within, ")"}));
}

/// Into registers, all of them before any is used: threads along the axis that the operands lie on.
void TileText::write_loads(bool turned_ones) {
  const auto wanted = [&](std::size_t n) {
    return used(n) && turned(stage_.sources[n].id) == turned_ones;
  };
  bool any = false;
  for (std::size_t n = 0; n < stage_.sources.size(); ++n) {
    if (!wanted(n)) continue;
    any = true;
    out_.line(cat({type(stage_.sources[n].id), " ", x(n), "[", str(s_.tile / rows()), "][",
                   str(s_.tile / 32), "];"}));
  }
  if (!any) return;
  turned_ones ? open_loops("l", "a") : open_loops("a", "l");
  for (std::size_t n = 0; n < stage_.sources.size(); ++n)
    if (wanted(n)) out_.line(cat({x(n), "[u][w] = ", place(stage_.sources[n].id), ";"}));
  close_loops();
}

void TileText::write_to_tiles() {
  if (std::ranges::none_of(stage_.sources, [&](const ir::Source& s) { return turned(s.id); }))
    return;
  open_loops("l", "a");
  for (std::size_t n = 0; n < stage_.sources.size(); ++n) {
    if (used(n) && turned(stage_.sources[n].id))
      out_.line(cat({"tile_", x(n), "[j][i] = ", x(n), "[u][w];"}));
  }
  close_loops();
}

void TileText::write_results() {
  open_loops("a", "l");
  std::vector<std::string> inputs;
  for (std::size_t n = 0; n < stage_.sources.size(); ++n) {
    const bool from_tile = turned(stage_.sources[n].id);
    inputs.push_back(!used(n)    ? ""
                     : from_tile ? cat({"tile_", x(n), "[i][j]"})
                                 : cat({x(n), "[u][w]"}));
  }
  const auto values = write_program(out_, stage_.body, inputs, frame_.coordinates, "v", tables_);
  for (const ir::Sink& s : stage_.sinks) {
    const std::string target = turned(s.id) ? cat({"tile_y", str(s.id), "[i][j]"}) : place(s.id);
    out_.line(cat({target, " = ", values[static_cast<std::size_t>(s.output)], ";"}));
  }
  close_loops();
}

void TileText::write_turned_stores() {
  out_.line("__syncthreads();");
  open_loops("l", "a");
  for (const ir::Sink& s : stage_.sinks) {
    if (turned(s.id)) out_.line(cat({place(s.id), " = tile_y", str(s.id), "[j][i];"}));
  }
  close_loops();
}

void TileText::write() {
  const std::string_view i = frame_.index_type;
  const std::string side = str(s_.tile);
  const auto tile = [&](int access, const std::string& name) {
    out_.line(cat({"__shared__ ", type(access), " tile_", name, "[", side, "][",
                   str(pitch(element_type(k_, access), s_.tile)), "];"}));
  };
  for (std::size_t n = 0; n < stage_.sources.size(); ++n)
    if (used(n) && turned(stage_.sources[n].id)) tile(stage_.sources[n].id, x(n));
  bool stores = false;
  for (const ir::Sink& s : stage_.sinks) {
    if (!turned(s.id)) continue;
    stores = true;
    tile(s.id, "y" + str(s.id));
  }
  const auto tiles = [&](const std::string& extent) {
    return cat({"((", i, ")", extent, " + ", str(s_.tile - 1), ") / ", side});
  };
  out_.line("const int tx = threadIdx.x % 32, ty = threadIdx.x / 32;");
  out_.line(cat({"const ", i, " tiles_a = ", tiles(frame_.extents[axis_]),
                 ", tiles_l = ", tiles(frame_.extents.back()), ";"}));
  std::string others;
  for (std::size_t j = 0; j + 1 < frame_.extents.size(); ++j)
    if (j != axis_) others.append(" * ").append(frame_.extents[j]);
  out_.line(cat({"const ", i, " tiles = tiles_a * tiles_l", others, ";"}));
  out_.open(cat({"for (", i, " tile = blockIdx.x; tile < tiles; tile += gridDim.x)"}));
  write_place();
  write_loads(true);
  write_loads(false);
  write_to_tiles();
  out_.line("__syncthreads();");
  write_results();
  if (stores) write_turned_stores();
  out_.line("__syncthreads();");  // the next tile takes this one's place
  out_.close();
}

}  // namespace

std::optional<int> turned_axis(const Kernel& k, const KernelFrame& frame) {
  const std::size_t last = frame.extents.size() - 1;
  std::optional<int> axis;
  for (std::size_t a = 0; a < k.accesses.size(); ++a) {
    for (std::size_t j = 0; j < last; ++j) {
      if (!is_turned(frame, static_cast<int>(a), j)) continue;
      if (axis && *axis != static_cast<int>(j)) continue;  // the first one's is as good
      axis = static_cast<int>(j);
    }
  }
  if (!axis) return axis;
  constexpr std::int64_t few = 8;
  const auto narrow = [&](const std::string& extent) {
    const auto known = number_of(extent);
    return known && *known < few;
  };
  if (narrow(frame.extents.back()) || narrow(frame.extents[static_cast<std::size_t>(*axis)]))
    return std::nullopt;
  return axis;
}

std::int64_t tile_bytes(const Kernel& k, const KernelFrame& frame, int axis, int side) {
  std::int64_t bytes = 0;
  for (std::size_t a = 0; a < k.accesses.size(); ++a) {
    const int access = static_cast<int>(a);
    const DType t = element_type(k, access);
    if (is_turned(frame, access, static_cast<std::size_t>(axis)))
      bytes += side * pitch(t, side) * static_cast<std::int64_t>(size_of(t));
  }
  return bytes;
}

Dim tile_count(const Kernel& k, const KernelFrame& frame, int side) {
  const auto axis = turned_axis(k, frame);
  if (!axis) return 0;
  Dim tiles = 1;
  const std::size_t n = frame.extents.size();
  for (std::size_t j = 0; j < n; ++j) {
    const Dim extent = frame.layout.constant ? Dim(frame.geometry.extents[j]) : k.axes[j];
    const bool cut = j + 1 == n || j == static_cast<std::size_t>(*axis);
    tiles = tiles * (cut ? ceildiv(extent, Dim(side)) : extent);
  }
  return tiles;
}

void write_tiles(const Kernel& k, const KernelFrame& frame, const CudaSchedule& s,
                 std::string_view name, TextWriter& out) {
  TileText(k, frame, s, cat({name, "_table0_"}), out).write();
}

}  // namespace weft::codegen
