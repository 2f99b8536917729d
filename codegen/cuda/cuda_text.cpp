#include "codegen/cuda/cuda_text.h"

#include <algorithm>
#include <cassert>

#include "codegen/cuda/row_text.h"

namespace weft::codegen {
namespace {

using ir::Kernel;
using Mapping = CudaSchedule::Mapping;

std::string number(std::int64_t value) {
  const bool fits = value <= INT32_MAX && value >= -INT32_MAX;
  return std::to_string(value) + (fits ? "" : "ll");
}

std::string atom_text(const DimExpr::Atom& atom) {
  using Kind = DimExpr::AtomKind;
  const auto call = [&](std::string_view f) {
    return cat({f, "(", dim_text(atom.left), ", ", dim_text(atom.right), ")"});
  };
  switch (atom.kind) {
    case Kind::symbol: return atom.name;
    case Kind::floordiv: return call("weft_floordiv");
    case Kind::mod: return call("weft_mod");
    case Kind::max: return call("weft_max<weft_i64>");
    case Kind::min: return call("weft_min<weft_i64>");
  }
  return {};
}

}  // namespace

std::string dim_text(const Dim& dim) {
  if (dim.is_constant()) return number(dim.value());
  std::string sum;
  for (const DimExpr::Term& term : dim.expr()->terms()) {
    if (!sum.empty()) sum.append(" + ");
    std::string product =
        term.coefficient == 1 && !term.factors.empty() ? "" : number(term.coefficient);
    for (const auto& factor : term.factors)
      product.append(product.empty() ? "" : " * ").append(atom_text(*factor));
    sum.append(product);
  }
  return sum;
}

std::string parameter_text(const Kernel& k) {
  std::string parameters;
  const auto add = [&](const std::string& p) {
    parameters.append(parameters.empty() ? "" : ", ").append(p);
  };
  for (std::size_t b = 0; b < k.buffers.size(); ++b)
    add(cat({k.buffers[b].written ? "" : "const ", cuda_type(k.buffers[b].dtype), "* b",
             std::to_string(b)}));
  for (int i = 0; i < k.symbols; ++i) add("weft_i64 s" + std::to_string(i));
  return parameters;
}

namespace {

/// The largest number that indexing reaches, for extents that are known.
std::int64_t largest_index(const Layout& layout, const Geometry& g) {
  std::int64_t largest = std::max(g.items, g.row);
  for (std::size_t a = 0; a < layout.accesses.size(); ++a) {
    std::int64_t reach =
        std::abs(g.offsets[a]) + std::abs(g.row_strides[a]) * std::max<std::int64_t>(g.row - 1, 0);
    for (std::size_t j = 0; j < g.extents.size(); ++j)
      reach += std::abs(g.strides_of(a)[j]) * std::max<std::int64_t>(g.extents[j] - 1, 0);
    largest = std::max(largest, reach);
  }
  return largest;
}

}  // namespace

// ---- Frame --------------------------------------------------------------------------------------

KernelFrame::KernelFrame(const Kernel& k) : layout(k) {
  if (layout.constant) geometry.evaluate(layout, nullptr);
  constexpr std::int64_t room = std::int64_t{1} << 30;  // for a grid's stride beyond the last item
  index_type = layout.constant && largest_index(layout, geometry) < room ? "int" : "weft_i64";
  if (layout.constant) {
    take_geometry();
    return;
  }
  for (std::size_t axis = 0; axis < k.parallel_axes(); ++axis) {
    extents.push_back(named(k.axes[axis]));
    coordinates.push_back("c" + std::to_string(axis));
  }
  row = k.has_row ? named(k.axes.back()) : "1";
  if (k.clip) clip = named(*k.clip), blocks = extents.back();
  for (const ir::Access& a : k.accesses) {
    AccessText text{.offset = named(a.offset), .strides = {}, .row_stride = "0"};
    for (std::size_t axis = 0; axis < k.parallel_axes(); ++axis)
      text.strides.push_back(named(a.strides[axis]));
    if (k.has_row) text.row_stride = named(a.strides.back());
    accesses.push_back(std::move(text));
  }
}

void KernelFrame::take_geometry() {
  const Geometry& g = geometry;
  for (const std::int64_t e : g.extents) extents.push_back(number(e));
  for (std::size_t axis = 0; axis < layout.parallel_axes; ++axis) {
    const int walked = g.walked_axis[axis];
    coordinates.push_back(walked < 0 ? "0" : "c" + std::to_string(walked));
  }
  row = number(g.row);
  if (g.clip >= 0) clip = number(g.clip), blocks = number(g.blocks);
  for (std::size_t a = 0; a < layout.accesses.size(); ++a) {
    AccessText text{
        .offset = number(g.offsets[a]), .strides = {}, .row_stride = number(g.row_strides[a])};
    for (std::size_t j = 0; j < g.extents.size(); ++j)
      text.strides.push_back(number(g.strides_of(a)[j]));
    accesses.push_back(std::move(text));
  }
}

std::string KernelFrame::named(const Dim& dim) {
  const std::string text = dim_text(dim);
  if (dim.is_constant()) return text;
  const auto it = std::find(dims.begin(), dims.end(), text);
  const auto number = static_cast<std::size_t>(it - dims.begin());
  if (it == dims.end()) dims.push_back(text);
  return "d" + std::to_string(number);
}

std::string KernelFrame::items() const {
  std::string product;
  for (const std::string& e : extents) product.append(product.empty() ? "" : " * ").append(e);
  return product.empty() ? "1" : product;
}

std::string KernelFrame::offset(int access) const {
  const AccessText& a = accesses[static_cast<std::size_t>(access)];
  std::string sum = a.offset == "0" ? "" : a.offset;
  for (std::size_t j = 0; j < a.strides.size(); ++j) {
    if (a.strides[j] == "0") continue;
    sum.append(sum.empty() ? "" : " + ").append("c").append(std::to_string(j));
    if (a.strides[j] != "1") sum.append(" * ").append(a.strides[j]);
  }
  return sum.empty() ? "0" : sum;
}

void KernelFrame::write_dims(TextWriter& out) const {
  for (std::size_t d = 0; d < dims.size(); ++d)
    out.line(cat({"const weft_i64 d", std::to_string(d), " = ", dims[d], ";"}));
}

void KernelFrame::write_coordinates(TextWriter& out) const {
  const std::size_t n = extents.size();
  if (n == 0) return;
  for (std::size_t j = n; j-- > 1;) {
    const std::string from = j + 1 == n ? "item" : "rest" + std::to_string(j);
    out.line(cat({"const ", index_type, " c", std::to_string(j), " = ", from, " % ", extents[j],
                  ", rest", std::to_string(j - 1), " = ", from, " / ", extents[j], ";"}));
  }
  const std::string from = n == 1 ? "item" : "rest0";
  out.line(cat({"const ", index_type, " c0 = ", from, ";"}));
}

std::string pointer_text(const Kernel& k, int access) {
  return "b" + std::to_string(k.accesses[static_cast<std::size_t>(access)].buffer);
}

// ---- Pointwise ----------------------------------------------------------------------------------

namespace {

/// Do neighbours of every access lie side by side (or on one element), so that `vector` of them can
/// move at once?
bool can_move_vectors(const Kernel& k, std::int64_t vector) {
  const Layout layout(k);
  if (k.has_row || !layout.constant || vector < 2) return false;
  Geometry g;
  g.evaluate(layout, nullptr);
  const std::size_t last = g.extents.size() - 1;
  if (g.extents[last] < vector || (last > 0 && g.extents[last] % vector != 0)) return false;
  for (std::size_t a = 0; a < layout.accesses.size(); ++a) {
    const std::int64_t* strides = g.strides_of(a);
    if (strides[last] == 0) continue;
    if (strides[last] != 1 || g.offsets[a] % vector != 0) return false;
    for (std::size_t j = 0; j < last; ++j) {
      if (strides[j] % vector != 0) return false;
    }
  }
  return true;
}

int widest_element(const Kernel& k) {
  std::size_t widest = 1;
  for (const ir::KernelBuffer& b : k.buffers) widest = std::max(widest, size_of(b.dtype));
  return static_cast<int>(widest);
}

class ElementText {
 public:
  ElementText(const Kernel& k, const KernelFrame& frame, std::string_view tables, TextWriter& out)
      : k_(k), frame_(frame), stage_(k.stages[0]), tables_(tables), out_(out) {}

  void scalar() {
    std::vector<std::string> inputs;
    for (const ir::Source& s : stage_.sources)
      inputs.push_back(reads_input(stage_.body, inputs.size()) ? loaded(s.id, inputs.size()) : "");
    const auto values = write_program(out_, stage_.body, inputs, frame_.coordinates, "v", tables_);
    for (const ir::Sink& s : stage_.sinks)
      out_.line(cat({place(s.id), " = ", values[static_cast<std::size_t>(s.output)], ";"}));
  }

  void vectors(int vector) {
    const std::string count = std::to_string(vector);
    std::vector<std::string> inputs;
    for (const ir::Source& s : stage_.sources) {
      if (!reads_input(stage_.body, inputs.size())) {
        inputs.emplace_back();
      } else if (is_uniform(s.id)) {
        inputs.push_back(loaded(s.id, inputs.size()));
      } else {
        const std::string name = "x" + std::to_string(inputs.size()),
                          type = vector_type(s.id, count);
        out_.line(cat({"const ", type, " ", name, " = *(const ", type, "*)&", place(s.id), ";"}));
        inputs.push_back(name + ".at[j]");
      }
    }
    for (const ir::Sink& s : stage_.sinks)
      out_.line(cat({vector_type(s.id, count), " y", std::to_string(s.id), ";"}));
    out_.line("#pragma unroll");
    out_.open(cat({"for (int j = 0; j < ", count, "; ++j)"}));
    std::vector<std::string> coordinates = frame_.coordinates;
    const std::string innermost = "c" + std::to_string(frame_.extents.size() - 1);
    for (std::string& c : coordinates) {
      if (c == innermost) c = "(" + innermost + " + j)";
    }
    const auto values = write_program(out_, stage_.body, inputs, coordinates, "v", tables_);
    for (const ir::Sink& s : stage_.sinks)
      out_.line(cat({"y", std::to_string(s.id),
                     ".at[j] = ", values[static_cast<std::size_t>(s.output)], ";"}));
    out_.close();
    for (const ir::Sink& s : stage_.sinks)
      out_.line(cat(
          {"*(", vector_type(s.id, count), "*)&", place(s.id), " = y", std::to_string(s.id), ";"}));
  }

  /// Do all pointers that move vectors allow it?
  std::string aligned(int vector) const {
    std::string condition;
    const auto add = [&](int access) {
      if (is_uniform(access)) return;
      const std::size_t bytes = element_size(access) * static_cast<std::size_t>(vector);
      condition.append(condition.empty() ? "" : " && ");
      condition.append(
          cat({"(weft_u64)", pointer_text(k_, access), " % ", std::to_string(bytes), " == 0"}));
    };
    for (const ir::Source& s : stage_.sources) add(s.id);
    for (const ir::Sink& s : stage_.sinks) add(s.id);
    return condition.empty() ? "true" : condition;
  }

 private:
  std::string place(int access) const {
    return cat({pointer_text(k_, access), "[", frame_.offset(access), "]"});
  }
  bool is_uniform(int access) const {
    return frame_.accesses[static_cast<std::size_t>(access)].strides.back() == "0";
  }
  DType dtype(int access) const {
    return k_
        .buffers[static_cast<std::size_t>(k_.accesses[static_cast<std::size_t>(access)].buffer)]
        .dtype;
  }
  std::size_t element_size(int access) const { return size_of(dtype(access)); }
  std::string vector_type(int access, std::string_view count) const {
    return cat({"weft_vector<", cuda_type(dtype(access)), ", ", count, ">"});
  }
  std::string loaded(int access, std::size_t n) {
    const std::string name = "x" + std::to_string(n);
    out_.line(cat({"const ", cuda_type(dtype(access)), " ", name, " = ", place(access), ";"}));
    return name;
  }

  const Kernel& k_;
  const KernelFrame& frame_;
  const ir::Stage& stage_;
  std::string_view tables_;
  TextWriter& out_;
};

void write_pointwise(const Kernel& k, const KernelFrame& frame, int vector, std::string_view name,
                     TextWriter& out) {
  const std::string tables = cat({name, "_table0_"});
  ElementText element(k, frame, tables, out);
  const std::string_view i = frame.index_type;
  out.line(cat({"const ", i, " items = ", frame.items(), ";"}));
  out.line(cat({"const ", i, " first = blockIdx.x * (", i,
                ")blockDim.x + threadIdx.x, step = gridDim.x * (", i, ")blockDim.x;"}));
  std::string rest = "first";
  if (vector > 1) {
    const std::string count = std::to_string(vector);
    out.line(cat({"const bool aligned = ", element.aligned(vector), ";"}));
    out.line(cat({"const ", i, " groups = aligned ? items / ", count, " : 0;"}));
    out.open(cat({"for (", i, " group = first; group < groups; group += step)"}));
    out.line(cat({"const ", i, " item = group * ", count, ";"}));
    frame.write_coordinates(out);
    element.vectors(vector);
    out.close();
    rest = cat({"groups * ", count, " + first"});
  }
  out.open(cat({"for (", i, " item = ", rest, "; item < items; item += step)"}));
  frame.write_coordinates(out);
  element.scalar();
  out.close();
}

}  // namespace

// ---- Kernels ------------------------------------------------------------------------------------

CudaSchedule choose_schedule(const Kernel& k) {
  if (!k.has_row) {
    const int vector = 16 / widest_element(k);
    return {Mapping::element, 256, can_move_vectors(k, vector) ? vector : 1};
  }
  bool lanes = false, blocks = false, one_level = false;
  for (const ir::Stage& s : k.stages) {
    for (const ir::KernelReduction& r : s.reductions) {
      (r.order == ir::ReductionOrder::lanes ? lanes : blocks) = true;
      one_level = one_level || r.partial || r.second_level;
    }
  }
  if (!lanes) return {Mapping::thread, 128, 1};
  const std::optional<std::int64_t> row = k.axes.back().constant();
  const bool long_row = row && *row > ir::lane_block && !one_level && !blocks;
  return long_row ? CudaSchedule{Mapping::block, 256, 1} : CudaSchedule{Mapping::warp, 128, 1};
}

Dim scratch_bytes(const Kernel& k, const CudaSchedule& s, std::int64_t blocks) {
  if (row_storage(k, s) != RowStorage::scratch) return 0;
  std::int64_t bytes = 0;
  for (const DType t : k.row_temps) bytes += static_cast<std::int64_t>(size_of(t));
  const std::int64_t units = s.mapping == Mapping::thread ? s.threads
                             : s.mapping == Mapping::warp ? s.threads / 32
                                                          : 1;
  return ceildiv(max(k.axes.back(), Dim(1)), Dim(64)) * Dim(64 * bytes * units * blocks);
}

std::int64_t items_per_block(const CudaSchedule& s) {
  switch (s.mapping) {
    case Mapping::element: return std::int64_t{s.threads} * s.vector;
    case Mapping::thread: return s.threads;
    case Mapping::warp: return s.threads / 32;
    case Mapping::block: return 1;
  }
  __builtin_unreachable();
}

std::string cuda_text(const Kernel& k, const CudaSchedule& s, std::string_view name) {
  assert(k.has_row == (s.mapping != Mapping::element));
  TextWriter out;
  for (std::size_t i = 0; i < k.stages.size(); ++i)
    write_tables(out, k.stages[i].body, cat({name, "_table", std::to_string(i), "_"}));
  if (k.has_row) write_combines(k, name, out);
  std::string parameters = parameter_text(k);
  if (k.has_row && row_storage(k, s) == RowStorage::scratch) parameters.append(", char* scratch");
  out.open(cat({"extern \"C\" __global__ void __launch_bounds__(", std::to_string(s.threads), ") ",
                name, "(", parameters, ")"}));
  const KernelFrame frame(k);
  frame.write_dims(out);
  if (k.has_row)
    write_rows(k, frame, s, name, out);
  else
    write_pointwise(k, frame, can_move_vectors(k, s.vector) ? s.vector : 1, name, out);
  out.close();
  return out.text();
}

}  // namespace weft::codegen
