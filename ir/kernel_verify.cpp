// The invariants that ir/kernel.h states, checked.
#include <algorithm>
#include <charconv>

#include "ir/error.h"
#include "ir/kernel.h"

namespace weft::ir {
namespace {

DType as_loaded(DType stored) { return stored == DType::bfloat16 ? DType::uint16 : stored; }

DType accumulator(DType operand) {
  return operand == DType::float16 || operand == DType::bfloat16 ? DType::float32 : operand;
}

std::string text(std::size_t i) { return std::to_string(i); }
std::string text(int i) { return std::to_string(i); }

class KernelVerifier {
 public:
  explicit KernelVerifier(const Kernel& kernel)
      : kernel_(kernel),
        writers_(kernel.buffers.size()),
        point_ready_(kernel.point_temps.size()),
        row_ready_(kernel.row_temps.size()) {}

  void run() {
    check(kernel_.symbols >= 0, "the number of symbols is negative");
    for (const Dim& axis : kernel_.axes) extent(axis, "an axis");
    check(!kernel_.has_row || !kernel_.axes.empty(), "there is no row axis");
    if (kernel_.clip) extent(*kernel_.clip, "clip");
    accesses();
    if (kernel_.contraction) contraction(*kernel_.contraction);
    if (!kernel_.has_row)
      check(kernel_.stages.size() == 1 || (kernel_.contraction && kernel_.stages.empty()),
            "without a row axis there is one stage, not " + text(kernel_.stages.size()));
    for (number_ = 0; number_ < kernel_.stages.size(); ++number_) stage(kernel_.stages[number_]);
    check(kernel_.clip.has_value() == partial_, "clip goes with partial reductions");
    columns();
    buffers();
  }

 private:
  static constexpr int the_contraction = -1, the_columns = -2;

  void check(bool fine, const std::string& message) const {
    if (fine) return;
    const bool in_stage = number_ < kernel_.stages.size();
    throw Error("kernel verifier: " + (in_stage ? "stage " + text(number_) + ": " : std::string()) +
                message);
  }

  void in_range(int id, std::size_t size, const std::string& what) const {
    check(id >= 0 && static_cast<std::size_t>(id) < size, "there is no " + what + " " + text(id));
  }

  void symbols(const Dim& dim) const {
    if (dim.is_constant()) return;
    std::vector<std::string> names;
    dim.collect_symbols(names);
    for (const std::string& name : names) {
      int k = -1;
      const char* const end = name.data() + name.size();
      const bool number =
          name.starts_with('s') && std::from_chars(name.data() + 1, end, k).ptr == end;
      check(number && k >= 0 && k < kernel_.symbols && name == "s" + text(k),
            "'" + name + "' is not one of the kernel's " + text(kernel_.symbols) + " symbols");
    }
  }
  void symbols(const Dims& dims) const {
    for (const Dim& dim : dims) symbols(dim);
  }
  void extent(const Dim& dim, const std::string& what) const {
    symbols(dim);
    check(!dim.is_constant() || dim.value() >= 0, what + " has the negative extent " + dim.str());
  }

  void accesses() const {
    for (std::size_t i = 0; i < kernel_.accesses.size(); ++i) {
      const Access& access = kernel_.accesses[i];
      in_range(access.buffer, kernel_.buffers.size(), "buffer");
      check(access.strides.size() == kernel_.axes.size(),
            "access " + text(i) + " has " + text(access.strides.size()) + " strides for " +
                text(kernel_.axes.size()) + " axes");
      symbols(access.offset);
      symbols(access.strides);
    }
  }

  void contraction(const Contraction& c) {
    check(!kernel_.has_row, "a contraction and a row axis in one kernel");
    check(kernel_.axes.size() >= 2, "a contraction has the axes m and n");
    for (const int buffer : {c.a, c.b, c.out}) in_range(buffer, kernel_.buffers.size(), "buffer");
    check(c.out != c.a && c.out != c.b, "the contraction writes to its own operand");
    const std::size_t batch = kernel_.axes.size() - 2;
    check(c.a_batch.size() == batch && c.b_batch.size() == batch,
          "the contraction's operands need " + text(batch) + " batch strides");
    const DType a = buffer(c.a).dtype, b = buffer(c.b).dtype, out = buffer(c.out).dtype;
    check(a == b && out == accumulator(a),
          "the contraction's dtypes do not fit: " + std::string(name(a)) + ", " +
              std::string(name(b)) + " to " + std::string(name(out)));
    extent(c.k, "k");
    symbols(c.a_batch);
    symbols(c.b_batch);
    for (const Dim* d : {&c.a_offset, &c.b_offset, &c.out_offset, &c.a_m, &c.a_k, &c.b_k, &c.b_n})
      symbols(*d);
    if (c.gather) gather(*c.gather);
    if (c.winograd) winograd(c);
    writers_[static_cast<std::size_t>(c.out)].push_back(the_contraction);
  }

  void gather(const Contraction::Gather& g) const {
    check(!g.k.empty() && g.a_k.size() == g.k.size() && g.b_k.size() == g.k.size() &&
              !g.n.empty() && g.b_n.size() == g.n.size(),
          "the contraction's gathered axes need one stride each");
    for (const Dim& d : g.k) extent(d, "an axis of k");
    for (const Dim& d : g.n) extent(d, "an axis of n");
    for (const Dims* strides : {&g.a_k, &g.b_k, &g.b_n}) symbols(*strides);
  }

  void winograd(const Contraction& c) const {
    check(buffer(c.a).dtype == DType::float32, "a product by Winograd is of float32");
    check(c.gather.has_value(), "a product by Winograd has windows");
    const auto window = [](const Dims& axes) {
      return axes.size() == 3 && axes[1] == Dim(3) && axes[2] == Dim(3);
    };
    const Dims &k = c.gather->k, &n = c.gather->n;
    check((window(k) && n.size() == 2) || (window(n) && (k.size() == 2 || k.size() == 3)),
          "a product by Winograd has windows of 3 x 3");
    check(kernel_.axes.size() <= (n.size() == 2 ? 3 : 2), "a product by Winograd has one batch axis");
    const Contraction::Winograd& w = *c.winograd;
    for (const Dim* d : {&w.top, &w.left, &w.height, &w.width}) symbols(*d);
  }

  [[nodiscard]] const KernelBuffer& buffer(int id) const {
    return kernel_.buffers[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] const Access& access(int id) const {
    return kernel_.accesses[static_cast<std::size_t>(id)];
  }

  static std::size_t at(int id) { return static_cast<std::size_t>(id); }

  void same_dtype(DType found, DType wanted, const std::string& what) const {
    check(found == wanted,
          what + " is " + std::string(name(found)) + " and should be " + std::string(name(wanted)));
  }

  void program(const ScalarProgram& p, bool may_index) const {
    verify(p);
    for (const ScalarInst& inst : p.code) {
      if (inst.op != ScalarOp::index) continue;
      check(may_index && inst.imm < kernel_.axes.size(),
            "an index of axis " + std::to_string(inst.imm));
    }
  }

  void stage(const Stage& s) {
    check(!s.over_row || kernel_.has_row, "it runs over a row that the kernel does not have");
    program(s.body, true);
    check(s.sources.size() == s.body.inputs.size(),
          "its program has " + text(s.body.inputs.size()) + " inputs and " +
              text(s.sources.size()) + " sources");
    for (std::size_t i = 0; i < s.sources.size(); ++i) source(s, i);
    // What this stage writes can be read by later ones only.
    std::vector<int> point_written, row_written;
    for (const Sink& k : s.sinks) sink(s, k, point_written, row_written);
    for (const KernelReduction& r : s.reductions) reduction(s, r, point_written);
    for (const int t : point_written) point_ready_[at(t)] = true;
    for (const int t : row_written) row_ready_[at(t)] = true;
  }

  void source(const Stage& s, std::size_t i) const {
    const Source& from = s.sources[i];
    const DType wanted = s.body.inputs[i];
    const std::string what = "source " + text(i);
    switch (from.kind) {
      case Source::Kind::load:
        in_range(from.id, kernel_.accesses.size(), "access");
        same_dtype(as_loaded(buffer(access(from.id).buffer).dtype), wanted, what);
        return;
      case Source::Kind::point_temp:
        in_range(from.id, kernel_.point_temps.size(), "point temp");
        check(point_ready_[at(from.id)], "no earlier stage writes point temp " + text(from.id));
        same_dtype(as_loaded(kernel_.point_temps[at(from.id)]), wanted, what);
        return;
      case Source::Kind::row_temp:
        check(s.over_row, "a row temp is read outside the row");
        in_range(from.id, kernel_.row_temps.size(), "row temp");
        check(row_ready_[at(from.id)], "no earlier stage writes row temp " + text(from.id));
        same_dtype(as_loaded(kernel_.row_temps[at(from.id)]), wanted, what);
        return;
    }
  }

  void sink(const Stage& s, const Sink& to, std::vector<int>& point_written,
            std::vector<int>& row_written) {
    in_range(to.output, s.body.outputs.size(), "program output");
    const DType given = s.body.output_dtype(at(to.output));
    switch (to.kind) {
      case Sink::Kind::store:
        in_range(to.id, kernel_.accesses.size(), "access");
        same_dtype(given, as_loaded(buffer(access(to.id).buffer).dtype), "what is stored");
        stored(access(to.id).buffer, to.id);
        return;
      case Sink::Kind::point_temp:
        check(!s.over_row, "a row stage writes a point temp without a reduction");
        in_range(to.id, kernel_.point_temps.size(), "point temp");
        same_dtype(given, as_loaded(kernel_.point_temps[at(to.id)]),
                   "what goes to point temp " + text(to.id));
        point_written.push_back(to.id);
        return;
      case Sink::Kind::row_temp:
        check(s.over_row, "a row temp is written outside the row");
        in_range(to.id, kernel_.row_temps.size(), "row temp");
        same_dtype(given, as_loaded(kernel_.row_temps[at(to.id)]),
                   "what goes to row temp " + text(to.id));
        row_written.push_back(to.id);
        return;
    }
  }

  void stored(int to, int by) {
    check(buffer(to).written, "buffer " + text(to) + " is stored to but not marked as written");
    std::vector<int>& writers = writers_[at(to)];
    for (const int other : writers)
      check(other < 0 || other == by || !(access(other) == access(by)),
            "buffer " + text(to) + " is written twice at the same elements");
    writers.push_back(by);
  }

  void reduction(const Stage& s, const KernelReduction& r, std::vector<int>& written) {
    check(s.over_row, "a reduction outside the row");
    check(!r.partial || !r.second_level,
          "a reduction is both the first and the second of two kernels");
    check(!r.partial || kernel_.parallel_axes() > 0,
          "a partial reduction needs a parallel axis of blocks");
    partial_ = partial_ || r.partial;
    program(r.combine, false);
    const std::size_t n = r.identity.size();
    check(n > 0 && r.outputs.size() == n && r.temps.size() == n &&
              r.combine.inputs.size() == 2 * n && r.combine.outputs.size() == n,
          "a reduction's identity, outputs, temps and combining program differ in number");
    for (std::size_t i = 0; i < n; ++i) {
      in_range(r.temps[i], kernel_.point_temps.size(), "point temp");
      in_range(r.outputs[i], s.body.outputs.size(), "program output");
      const DType wanted = kernel_.point_temps[at(r.temps[i])];
      const std::string what = "accumulator " + text(i);
      same_dtype(s.body.output_dtype(at(r.outputs[i])), wanted, what);
      same_dtype(r.combine.inputs[i], wanted, what);
      same_dtype(r.combine.inputs[n + i], wanted, what);
      same_dtype(r.combine.output_dtype(i), wanted, what);
      check(size_of(wanted) >= 8 || r.identity[i] >> (8 * size_of(wanted)) == 0,
            "the identity of " + what + " is too wide");
      written.push_back(r.temps[i]);
    }
  }

  void columns() {
    number_ = ~std::size_t{0};
    if (kernel_.columns.empty()) return;
    check(kernel_.columns.size() == 1, "there are columns twice");
    const Columns& c = kernel_.columns.front();
    verify(c.kernel);
    check(kernel_.has_row && kernel_.parallel_axes() == 1, "columns go with rows along one axis");
    const Kernel& k = c.kernel;
    const auto in_blocks = [](const KernelReduction& r) {
      return r.partial && r.order == ReductionOrder::blocks;
    };
    check(k.clip == kernel_.axes.front() && k.axes.size() == 3 && k.axes[2] == Dim(row_block) &&
              k.axes[1] == ceildiv(*k.clip, Dim(row_block)) && k.stages.size() == 2 &&
              k.stages[0].over_row && k.stages[0].sinks.empty() && !k.stages[1].over_row &&
              std::ranges::all_of(k.stages[0].reductions, in_blocks) && k.columns.empty(),
          "columns reduce the points, in blocks, and store what that comes to");
    check(kernel_.symbols == 0 && c.kernel.symbols == 0, "columns are of extents that are known");
    check(c.buffers.size() == c.kernel.buffers.size(), "columns have other buffers");
    for (std::size_t i = 0; i < c.buffers.size(); ++i) {
      const KernelBuffer& own = c.kernel.buffers[i];
      in_range(c.buffers[i], kernel_.buffers.size(), "buffer");
      same_dtype(own.dtype, buffer(c.buffers[i]).dtype, "a buffer of the columns");
      if (!own.written) continue;
      check(writers_[at(c.buffers[i])].empty(), "columns write what rows do");
      writers_[at(c.buffers[i])].push_back(the_columns);
    }
  }

  void buffers() const {
    std::vector<bool> used(kernel_.buffers.size());
    for (const Access& a : kernel_.accesses) used[at(a.buffer)] = true;
    if (const auto& c = kernel_.contraction)
      for (const int id : {c->a, c->b, c->out}) used[at(id)] = true;
    for (const Columns& c : kernel_.columns)
      for (const int id : c.buffers) used[at(id)] = true;
    bool outputs = false;
    for (std::size_t i = 0; i < kernel_.buffers.size(); ++i) {
      const bool written = kernel_.buffers[i].written;
      check(used[i], "nothing uses buffer " + text(i));
      check(written != writers_[i].empty(),
            "buffer " + text(i) + (written ? " is never written" : " is written but not marked"));
      check(written || !outputs, "buffer " + text(i) + " stands after an output");
      outputs = outputs || written;
    }
    for (const Stage& s : kernel_.stages) {
      for (const Source& from : s.sources) {
        if (from.kind != Source::Kind::load) continue;
        const std::vector<int>& writers = writers_[at(access(from.id).buffer)];
        const bool by_access = std::ranges::any_of(writers, [](int w) { return w >= 0; });
        check(!by_access || std::ranges::any_of(writers, [&](int w) {
                return w >= 0 && access(from.id) == access(w);
              }),
              "buffer " + text(access(from.id).buffer) +
                  " is read back at another element than it is written");
      }
    }
  }

  const Kernel& kernel_;
  std::vector<std::vector<int>> writers_;  // of each buffer: the accesses that store to it
  std::vector<bool> point_ready_, row_ready_;
  std::size_t number_ = ~std::size_t{0};  // the stage that is being checked
  bool partial_ = false;
};

}  // namespace

void verify(const Kernel& kernel) { KernelVerifier(kernel).run(); }

}  // namespace weft::ir
