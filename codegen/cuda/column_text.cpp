#include "codegen/cuda/column_text.h"

#include <algorithm>

#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/row_text.h"

namespace weft::codegen {
namespace {

using ir::Columns;
using ir::Kernel;
using ir::KernelReduction;

/// The text of the columns' functions, and what they share with the kernel.
class ColumnText {
 public:
  ColumnText(const Kernel& rows, TextWriter& out)
      : columns_(rows.columns.front()),
        k_(columns_.kernel),
        index_(KernelFrame(k_).index_type),
        out_(out) {}

  void write_columns(const CudaSchedule& s, std::string_view name);
  void write_results(const CudaSchedule& s, std::string_view name);
  [[nodiscard]] int columns_together(const CudaSchedule& s) const;

  /// `visit(name, dtype, identity)` for each of the totals.
  template <class F> void each_total(F&& visit) const {
    const auto& reductions = k_.stages[0].reductions;
    for (std::size_t r = 0; r < reductions.size(); ++r)
      for (std::size_t a = 0; a < reductions[r].temps.size(); ++a)
        visit(total(r, a), reductions[r].combine.inputs[a], reductions[r].identity[a]);
  }
  [[nodiscard]] std::int64_t points() const { return *k_.axes[0].constant(); }
  [[nodiscard]] const Columns& columns() const { return columns_; }
  [[nodiscard]] std::string open_points(const CudaSchedule& s) const {
    return cat({"for (int column = threadIdx.x; column < ", str(points()),
                "; column += ", str(s.threads), ")"});
  }

 private:
  static std::string total(std::size_t reduction, std::size_t accumulator) {
    return cat({"total", str(reduction), "_", str(accumulator)});
  }
  [[nodiscard]] std::string parameters() const {
    std::string all = cat({parameter_text(k_), ", int block, int from, int rows"});
    each_total([&](const std::string& name, DType t, std::uint64_t) {
      all.append(cat({", ", cuda_type(t), "* ", name}));
    });
    return all;
  }
  /// Element of an access, over `column`, `block` and `r`.
  [[nodiscard]] std::string place(int access) const {
    const ir::Access& a = k_.accesses[static_cast<std::size_t>(access)];
    std::string at = str(*a.offset.constant());
    constexpr std::string_view axes[] = {"column", "block", "r"};
    for (std::size_t i = 0; i < 3; ++i) {
      const std::int64_t stride = *a.strides[i].constant();
      if (stride != 0) at.append(cat({" + (", index_, ")", axes[i], " * ", str(stride)}));
    }
    return cat({pointer_text(k_, access), "[", at, "]"});
  }
  [[nodiscard]] bool moves(int access, std::size_t axis) const {
    return !(k_.accesses[static_cast<std::size_t>(access)].strides[axis] == Dim(0));
  }
  /// Opens a loop over the rows that are taken in together, and are there: number `e`, row `r` of
  /// the block.
  void open_rows(const CudaSchedule& s) {
    out_.line("#pragma unroll");
    out_.open(cat({"for (int e = 0; e < ", str(s.rows_at_once()), "; ++e)"}));
    out_.line("const int r = from + e;");
    out_.open("if (e < rows)");
  }
  void close_rows() {
    out_.close();
    out_.close();
  }

  const Columns& columns_;
  const Kernel& k_;
  std::string_view index_;
  TextWriter& out_;
};

/// So that many loads are under way, and find room in registers.
int ColumnText::columns_together(const CudaSchedule& s) const {
  int loads = 1;
  for (const ir::Source& source : k_.stages[0].sources)
    loads += moves(source.id, 0) && moves(source.id, 2) ? s.rows_at_once() : 0;
  constexpr int most = 32, most_columns = 4;
  return std::clamp(most / loads, 1, most_columns);
}

/// What belongs to a row alone is loaded before the columns; what belongs to a column alone, before
/// its rows.
void ColumnText::write_columns(const CudaSchedule& s, std::string_view name) {
  const ir::Stage& stage = k_.stages[0];
  const std::string count = str(s.rows_at_once());
  const auto source_type = [&](std::size_t n) { return cuda_type(stage.body.inputs[n]); };
  const auto access = [&](std::size_t n) { return stage.sources[n].id; };
  const auto each_source = [&](bool by_column, bool by_row, auto&& visit) {
    for (std::size_t n = 0; n < stage.sources.size(); ++n)
      if (reads_input(stage.body, n) && moves(access(n), 0) == by_column &&
          moves(access(n), 2) == by_row)
        visit(n);
  };
  const auto load_rows = [&](std::size_t n) {
    out_.line(cat({source_type(n), " x", str(n), "[", count, "];"}));
    open_rows(s);
    out_.line(cat({"x", str(n), "[e] = ", place(access(n)), ";"}));
    close_rows();
  };
  const auto load_once = [&](std::size_t n) {
    out_.line(cat({"const ", source_type(n), " x", str(n), " = ", place(access(n)), ";"}));
  };
  out_.open(cat({"WEFT_FUNCTION void ", name, "_columns(", parameters(), ")"}));
  each_source(false, true, load_rows);
  each_source(false, false, load_once);
  out_.line(cat({"#pragma unroll ", str(columns_together(s))}));
  out_.open(open_points(s));
  each_source(true, false, load_once);
  each_source(true, true, load_rows);
  each_total([&](const std::string& total, DType t, std::uint64_t) {
    out_.line(cat({cuda_type(t), " sum_", total, " = ", total, "[column];"}));
  });
  open_rows(s);
  std::vector<std::string> inputs;
  for (std::size_t n = 0; n < stage.sources.size(); ++n)
    inputs.push_back(!reads_input(stage.body, n) ? ""
                     : moves(access(n), 2)       ? cat({"x", str(n), "[e]"})
                                                 : cat({"x", str(n)}));
  const auto values = write_program(out_, stage.body, inputs, {"column", "block", "r"}, "v",
                                    cat({name, "_columns_table0_"}));
  for (std::size_t r = 0; r < stage.reductions.size(); ++r) {
    const KernelReduction& reduction = stage.reductions[r];
    std::string arguments, lifted;
    for (std::size_t a = 0; a < reduction.temps.size(); ++a) {
      arguments.append(cat({a == 0 ? "" : ", ", "sum_", total(r, a)}));
      lifted.append(cat({", ", values[static_cast<std::size_t>(reduction.outputs[a])]}));
    }
    out_.line(cat({name, "_columns_combine0_", str(r), "(", arguments, lifted, ");"}));
  }
  close_rows();
  each_total([&](const std::string& total, DType, std::uint64_t) {
    out_.line(cat({total, "[column] = sum_", total, ";"}));
  });
  out_.close();
  out_.close();
}

void ColumnText::write_results(const CudaSchedule& s, std::string_view name) {
  const ir::Stage& stage = k_.stages[1];
  out_.open(cat({"WEFT_FUNCTION void ", name, "_results(", parameters(), ")"}));
  out_.open(open_points(s));
  out_.line("const int r = 0;");
  std::vector<std::string> temps(k_.point_temps.size()), inputs;
  const auto& reductions = k_.stages[0].reductions;
  for (std::size_t r = 0; r < reductions.size(); ++r)
    for (std::size_t a = 0; a < reductions[r].temps.size(); ++a)
      temps[static_cast<std::size_t>(reductions[r].temps[a])] = total(r, a) + "[column]";
  for (const ir::Source& source : stage.sources)
    inputs.push_back(source.kind == ir::Source::Kind::load
                         ? place(source.id)
                         : temps[static_cast<std::size_t>(source.id)]);
  const auto values = write_program(out_, stage.body, inputs, {"column", "block", "r"}, "v",
                                    cat({name, "_columns_table1_"}));
  for (const ir::Sink& sink : stage.sinks)
    out_.line(cat({place(sink.id), " = ", values[static_cast<std::size_t>(sink.output)], ";"}));
  out_.close();
  out_.close();
}

}  // namespace

std::int64_t total_bytes(const Kernel& k) {
  constexpr std::int64_t padding = 16;  // an array
  std::int64_t bytes = 0;
  for (const Columns& columns : k.columns)
    for (const KernelReduction& r : columns.kernel.stages[0].reductions)
      for (std::size_t a = 0; a < r.temps.size(); ++a)
        bytes += *columns.kernel.axes[0].constant() *
                     static_cast<std::int64_t>(size_of(r.combine.inputs[a])) +
                 padding;
  return bytes;
}

void write_column_functions(const Kernel& k, const CudaSchedule& s, std::string_view name,
                            TextWriter& out) {
  const std::string prefix = cat({name, "_columns"});
  const Kernel& columns = k.columns.front().kernel;
  for (std::size_t i = 0; i < columns.stages.size(); ++i)
    write_tables(out, columns.stages[i].body, cat({prefix, "_table", str(i), "_"}));
  write_combines(columns, prefix, out);
  ColumnText text(k, out);
  text.write_columns(s, name);
  text.write_results(s, name);
}

void write_totals(const Kernel& k, TextWriter& out) {
  const ColumnText text(k, out);
  text.each_total([&](const std::string& total, DType t, std::uint64_t) {
    out.line(cat({"__shared__ ", cuda_type(t), " ", total, "[", str(text.points()), "];"}));
  });
}

void write_fresh_totals(const Kernel& k, const CudaSchedule& s, TextWriter& out) {
  const ColumnText text(k, out);
  out.open(text.open_points(s));
  text.each_total([&](const std::string& total, DType t, std::uint64_t identity) {
    out.line(cat({total, "[column] = ", literal(t, identity), ";"}));
  });
  out.close();
}

void write_column_call(const Kernel& k, std::string_view function, std::string_view from,
                       std::string_view rows, TextWriter& out) {
  const ColumnText text(k, out);
  std::string arguments;
  for (const int buffer : text.columns().buffers) arguments.append(cat({"b", str(buffer), ", "}));
  arguments.append(cat({"block, ", from, ", ", rows}));
  text.each_total([&](const std::string& total, DType, std::uint64_t) {
    arguments.append(", ").append(total);
  });
  out.line(cat({function, "(", arguments, ");"}));
}

}  // namespace weft::codegen
