#include "codegen/cuda/operation_writer.h"

#include <algorithm>

#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/scalar_text.h"

namespace weft::codegen {

std::string_view element_type(DType t) {
  if (t == DType::float16) return "weft_half";
  if (t == DType::bfloat16) return "weft_bfloat";
  return cuda_type(t);
}

std::string_view word_type(DType t) {
  switch (size_of(t)) {
    case 1: return "unsigned char";
    case 2: return "unsigned short";
    case 4: return "unsigned";
    case 8: return "weft_u64";
  }
  return "weft_words<16>";
}

OperationWriter::OperationWriter(const ir::DeviceOperation& operation, std::string_view name)
    : operation_(operation), name_(name) {
  use(operation_prelude());
}

const ir::DeviceOperation::Operand& OperationWriter::operand(std::size_t buffer) const {
  const std::size_t n = operation_.inputs.size();
  return buffer < n ? operation_.inputs[buffer] : operation_.outputs[buffer - n];
}

Dims OperationWriter::shape(std::size_t buffer) const {
  std::size_t symbol = 0;
  for (std::size_t b = 0; b < buffer; ++b)
    if (operand(b).present) symbol += operand(b).rank;
  Dims extents;
  for (std::size_t axis = 0; axis < operand(buffer).rank; ++axis)
    extents.push_back(Dim::symbol("s" + std::to_string(symbol + axis)));
  return extents;
}

std::string OperationWriter::in(std::size_t buffer, bool words) const {
  const DType t = operand(buffer).dtype;
  return cat({"((const ", words ? word_type(t) : element_type(t), "*)b", std::to_string(buffer),
              ")"});
}

std::string OperationWriter::out(std::size_t buffer, bool words) const {
  const DType t = operand(buffer).dtype;
  return cat({"((", words ? word_type(t) : element_type(t), "*)b", std::to_string(buffer), ")"});
}

std::string OperationWriter::extents(std::size_t buffer) const {
  std::string list;
  for (const Dim& extent : shape(buffer))
    list.append(list.empty() ? "" : ", ").append(dim_text(extent));
  return cat({"weft_extents<", std::to_string(operand(buffer).rank), ">{{", list, "}}"});
}

std::string OperationWriter::reserve(std::string_view type, const Dim& bytes) {
  constexpr std::int64_t unit = 256;
  const std::string at = dim_text(result_.code.workspace);
  result_.code.workspace = result_.code.workspace + ceildiv(bytes, unit) * Dim(unit);
  return cat({"((", type, "*)(workspace + (", at, ")))"});
}

void OperationWriter::launch(const Launch& l, std::string_view function,
                             std::initializer_list<std::string> arguments) {
  std::string parameters, given;
  const auto add = [&](const std::string& p) {
    parameters.append(parameters.empty() ? "" : ", ").append(p);
  };
  std::size_t symbols = 0;
  const std::size_t buffers = operation_.inputs.size() + operation_.outputs.size();
  for (std::size_t b = 0; b < buffers; ++b) {
    add(cat({b < operation_.inputs.size() ? "const " : "", "void* b", std::to_string(b)}));
    if (operand(b).present) symbols += operand(b).rank;
  }
  for (std::size_t s = 0; s < symbols; ++s) add("weft_i64 s" + std::to_string(s));
  for (std::size_t n = 0; n < l.numbers.size(); ++n) add("weft_i64 n" + std::to_string(n));
  if (!(l.scratch == Dim(0))) add("char* scratch");
  if (l.workspace) add("char* workspace");
  if (l.random) add("const weft_random* random");
  if (l.fault) add("weft_fault* fault, weft_i64 step");
  for (const std::string& argument : arguments)
    given.append(given.empty() ? "" : ", ").append(argument);
  const std::string head =
      cat({"extern \"C\" __global__ void __launch_bounds__(", std::to_string(std::max(l.threads, l.most_threads)),
           l.resident == 0 ? "" : ", " + std::to_string(l.resident), ") "});
  const std::string rest = cat({"(", parameters, ") {\n  ", function, "(", given, ");\n}\n"});
  const auto known = std::ranges::find(entries_, head + rest);
  const std::string entry = cat({name_, "_", std::to_string(known - entries_.begin())});
  if (known == entries_.end()) {
    entries_.push_back(head + rest);
    result_.text.append(cat({head, entry, rest}));
  }
  ir::DeviceLaunch& made = result_.code.launches.emplace_back();
  made.entry = entry;
  made.threads = l.threads;
  made.blocks = l.blocks;
  made.shared = l.shared;
  made.scratch = l.scratch;
  made.numbers = l.numbers;
  made.workspace = l.workspace;
  made.random = l.random;
  made.fault = l.fault;
}

std::size_t axis_of(std::int64_t axis, std::size_t rank) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}

std::string LineDims::text() const {
  return cat({"weft_axis{", dim_text(outer), ", ", dim_text(extent), ", ", dim_text(inner), "}"});
}

LineDims lines_of(const Dims& shape, std::int64_t axis) {
  const std::size_t at = axis_of(axis, shape.size());
  const std::span<const Dim> all(shape);
  return {product(all.first(at)), shape[at], product(all.subspan(at + 1))};
}

Dim if_above(const Dim& n, std::int64_t limit) {
  return min(Dim(1), floordiv(n, Dim(limit + 1)));
}

}  // namespace weft::codegen
