// The text form of kernels.
#include "ir/kernel.h"

#include <charconv>

#include "ir/scan.h"

namespace weft::ir {
namespace {

constexpr std::string_view source_names[] = {"load", "point_temp", "row_temp"};
constexpr std::string_view sink_names[] = {"store", "point_temp", "row_temp"};
constexpr std::string_view order_names[] = {"lanes", "blocks"};

template <class Items, class Text> std::string list_text(const Items& items, Text text) {
  std::string out = "[";
  for (const auto& item : items) out.append(out.size() > 1 ? ", " : "").append(text(item));
  return out + "]";
}

std::string dims_text(const Dims& dims) {
  return list_text(dims, [](const Dim& d) { return d.str(); });
}
std::string dtypes_text(const std::vector<DType>& dtypes) {
  return list_text(dtypes, [](DType t) { return name(t); });
}
std::string ints_text(const std::vector<int>& ints) {
  return list_text(ints, [](int i) { return std::to_string(i); });
}

std::string hexadecimal(std::uint64_t bits) {
  char buffer[16];
  return "0x" + std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, bits, 16).ptr);
}

std::string program_text(const ScalarProgram& program, const std::string& indent) {
  std::string out = indent + "program {\n";
  const std::string text = to_string(program);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin) + 1;
    out.append(indent).append("  ").append(text, begin, end - begin);
    begin = end;
  }
  return out + indent + "}\n";
}

std::string gather_text(const Contraction::Gather& g) {
  return "    gather k " + dims_text(g.k) + " a " + dims_text(g.a_k) + " b " + dims_text(g.b_k) +
         " n " + dims_text(g.n) + " b " + dims_text(g.b_n) + "\n";
}

std::string winograd_text(const Contraction::Winograd& w) {
  return "    winograd " + dims_text({w.top, w.left, w.height, w.width}) + "\n";
}

std::string contraction_text(const Contraction& c) {
  const auto operand = [](std::string_view which, int buffer, const Dim& offset) {
    return "    " + std::string(which) + " " + std::to_string(buffer) + " at " + offset.str();
  };
  return "  contraction {\n" + operand("a", c.a, c.a_offset) + " batch " + dims_text(c.a_batch) +
         " m " + c.a_m.str() + " k " + c.a_k.str() + "\n" + operand("b", c.b, c.b_offset) +
         " batch " + dims_text(c.b_batch) + " k " + c.b_k.str() + " n " + c.b_n.str() + "\n" +
         operand("out", c.out, c.out_offset) + "\n    k " + c.k.str() + "\n" +
         (c.gather ? gather_text(*c.gather) : "") +
         (c.winograd ? winograd_text(*c.winograd) : "") +
         (c.precision == MatmulPrecision::exact
              ? ""
              : "    precision " + std::string(name(c.precision)) + "\n") +
         (c.kept ? "" : "    passing\n") + "  }\n";
}

std::string reduction_text(const KernelReduction& r) {
  std::string out = "    reduce " + std::string(order_names[static_cast<std::size_t>(r.order)]);
  if (r.partial) out += " partial";
  if (r.second_level) out += " second_level";
  out += " {\n      identity " + list_text(r.identity, hexadecimal);
  out += "\n      outputs " + ints_text(r.outputs) + "\n      temps " + ints_text(r.temps) + "\n";
  return out + program_text(r.combine, "      ") + "    }\n";
}

std::string stage_text(const Stage& stage) {
  std::string out = stage.over_row ? "  stage row {\n" : "  stage point {\n";
  out += "    sources " + list_text(stage.sources, [](const Source& s) {
           return std::string(source_names[static_cast<std::size_t>(s.kind)]) + " " +
                  std::to_string(s.id);
         });
  out += "\n" + program_text(stage.body, "    ");
  out += "    sinks " + list_text(stage.sinks, [](const Sink& s) {
           return std::to_string(s.output) + " to " +
                  std::string(sink_names[static_cast<std::size_t>(s.kind)]) + " " +
                  std::to_string(s.id);
         });
  out += "\n";
  for (const KernelReduction& r : stage.reductions) out += reduction_text(r);
  return out + "  }\n";
}

// Numbers of buffers, temps and the like; what they refer to is checked by `verify`.
int number(Scanner& scan) { return static_cast<int>(scan.integer(0, 1 << 20)); }

Dims parse_dims(Scanner& scan) {
  Dims dims;
  scan.list("[", "]", [&] { dims.push_back(scan.dim()); });
  return dims;
}
std::vector<DType> parse_dtypes(Scanner& scan) {
  std::vector<DType> dtypes;
  scan.list("[", "]", [&] { dtypes.push_back(scan.dtype()); });
  return dtypes;
}
std::vector<int> parse_ints(Scanner& scan) {
  std::vector<int> ints;
  scan.list("[", "]", [&] { ints.push_back(number(scan)); });
  return ints;
}

template <class Kind, std::size_t n>
Kind parse_kind(Scanner& scan, const std::string_view (&names)[n]) {
  std::string expected;
  for (std::size_t i = 0; i < n; ++i) {
    if (scan.accept(names[i])) return static_cast<Kind>(i);
    expected.append(i ? " or '" : "'").append(names[i]).append("'");
  }
  scan.fail_expected(expected);
}

ScalarProgram parse_program(Scanner& scan) {
  scan.expect("program");
  scan.expect("{");
  const std::size_t begin = scan.position();
  const std::string_view text = scan.enclosed();
  return scan.at(begin, [&] { return parse_scalar_program(text); });
}

Contraction::Gather parse_gather(Scanner& scan) {
  const auto list = [&](std::string_view which) {
    scan.expect(which);
    return parse_dims(scan);
  };
  Contraction::Gather g;
  g.k = list("k"), g.a_k = list("a"), g.b_k = list("b");
  g.n = list("n"), g.b_n = list("b");
  return g;
}

Contraction parse_contraction(Scanner& scan) {
  Contraction c;
  const auto operand = [&](std::string_view which, int& buffer, Dim& offset) {
    scan.expect(which);
    buffer = number(scan);
    scan.expect("at");
    offset = scan.dim();
  };
  const auto stride = [&](std::string_view which, Dim& dim) {
    scan.expect(which);
    dim = scan.dim();
  };
  scan.expect("{");
  operand("a", c.a, c.a_offset);
  scan.expect("batch");
  c.a_batch = parse_dims(scan);
  stride("m", c.a_m);
  stride("k", c.a_k);
  operand("b", c.b, c.b_offset);
  scan.expect("batch");
  c.b_batch = parse_dims(scan);
  stride("k", c.b_k);
  stride("n", c.b_n);
  operand("out", c.out, c.out_offset);
  stride("k", c.k);
  if (scan.accept("gather")) c.gather = parse_gather(scan);
  if (scan.accept("winograd")) {
    const Dims dims = parse_dims(scan);
    if (dims.size() != 4) scan.fail_expected("top, left, height and width");
    c.winograd = {dims[0], dims[1], dims[2], dims[3]};
  }
  if (scan.accept("precision"))
    c.precision = parse_kind<MatmulPrecision>(scan, matmul_precision_names);
  c.kept = !scan.accept("passing");
  scan.expect("}");
  return c;
}

KernelReduction parse_reduction(Scanner& scan) {
  KernelReduction r;
  r.order = parse_kind<ReductionOrder>(scan, order_names);
  r.partial = scan.accept("partial");
  r.second_level = scan.accept("second_level");
  scan.expect("{");
  scan.expect("identity");
  scan.list("[", "]", [&] { r.identity.push_back(scan.bits()); });
  scan.expect("outputs");
  r.outputs = parse_ints(scan);
  scan.expect("temps");
  r.temps = parse_ints(scan);
  r.combine = parse_program(scan);
  scan.expect("}");
  return r;
}

Stage parse_stage(Scanner& scan) {
  Stage stage;
  stage.over_row = scan.accept("row");
  if (!stage.over_row) scan.expect("point");
  scan.expect("{");
  scan.expect("sources");
  scan.list("[", "]", [&] {
    const auto kind = parse_kind<Source::Kind>(scan, source_names);
    stage.sources.push_back({kind, number(scan)});
  });
  stage.body = parse_program(scan);
  scan.expect("sinks");
  scan.list("[", "]", [&] {
    Sink sink;
    sink.output = number(scan);
    scan.expect("to");
    sink.kind = parse_kind<Sink::Kind>(scan, sink_names);
    sink.id = number(scan);
    stage.sinks.push_back(sink);
  });
  while (scan.accept("reduce")) stage.reductions.push_back(parse_reduction(scan));
  scan.expect("}");
  return stage;
}

Access parse_access(Scanner& scan) {
  Access access;
  access.buffer = number(scan);
  scan.expect("at");
  access.offset = scan.dim();
  scan.expect("by");
  access.strides = parse_dims(scan);
  return access;
}

std::string columns_text(const Columns& columns) {
  return "  columns of " + ints_text(columns.buffers) + " " + to_string(columns.kernel);
}

Kernel parse_kernel(Scanner& scan, bool with_columns) {
  Kernel kernel;
  scan.expect("kernel");
  scan.expect("{");
  scan.expect("symbols");
  kernel.symbols = number(scan);
  scan.expect("axes");
  kernel.axes = parse_dims(scan);
  kernel.has_row = scan.accept("row");
  kernel.read_soon = scan.accept("read_soon");
  if (scan.accept("clip")) kernel.clip = scan.dim();
  scan.expect("buffers");
  scan.list("[", "]", [&] {
    const DType dtype = scan.dtype();
    kernel.buffers.push_back({dtype, scan.accept("written")});
  });
  while (scan.accept("access")) kernel.accesses.push_back(parse_access(scan));
  if (scan.accept("point_temps")) kernel.point_temps = parse_dtypes(scan);
  if (scan.accept("row_temps")) kernel.row_temps = parse_dtypes(scan);
  if (scan.accept("contraction")) kernel.contraction = parse_contraction(scan);
  while (scan.accept("stage")) kernel.stages.push_back(parse_stage(scan));
  while (with_columns && scan.accept("columns")) {
    scan.expect("of");
    std::vector<int> buffers = parse_ints(scan);
    kernel.columns.push_back({parse_kernel(scan, false), std::move(buffers)});
  }
  scan.expect("}");
  return kernel;
}

}  // namespace

std::string to_string(const Kernel& kernel) {
  std::string out = "kernel {\n  symbols " + std::to_string(kernel.symbols) + "\n  axes " +
                    dims_text(kernel.axes);
  if (kernel.has_row) out += " row";
  if (kernel.read_soon) out += " read_soon";
  out += "\n";
  if (kernel.clip) out += "  clip " + kernel.clip->str() + "\n";
  out += "  buffers " + list_text(kernel.buffers, [](const KernelBuffer& b) {
           return std::string(name(b.dtype)) + (b.written ? " written" : "");
         });
  out += "\n";
  for (const Access& access : kernel.accesses)
    out += "  access " + std::to_string(access.buffer) + " at " + access.offset.str() + " by " +
           dims_text(access.strides) + "\n";
  if (!kernel.point_temps.empty()) out += "  point_temps " + dtypes_text(kernel.point_temps) + "\n";
  if (!kernel.row_temps.empty()) out += "  row_temps " + dtypes_text(kernel.row_temps) + "\n";
  if (kernel.contraction) out += contraction_text(*kernel.contraction);
  for (const Stage& stage : kernel.stages) out += stage_text(stage);
  for (const Columns& columns : kernel.columns) out += columns_text(columns);
  return out + "}\n";
}

Kernel parse_kernel(std::string_view text) {
  Scanner scan(text, "kernel");
  const std::size_t begin = scan.position();
  Kernel kernel = parse_kernel(scan, true);
  if (!scan.at_end()) scan.fail_expected("the end of the kernel");
  scan.at(begin, [&] { verify(kernel); });
  return kernel;
}

}  // namespace weft::ir
