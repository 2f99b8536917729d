#include "codegen/cuda/product_store.h"

#include <algorithm>

#include "codegen/cuda/product_operand.h"
#include "codegen/cuda/row_text.h"

namespace weft::codegen {
namespace {

std::string stored(DType t, const std::string& sum) {
  if (t == DType::boolean) return cat({sum, " != 0"});
  return is_complex(t) ? sum : cat({"(", cuda_type(t), ")", sum});
}

}  // namespace

std::string ProductStore::stage_name(std::size_t stage) const {
  return cat({name_, "_end", std::to_string(stage), "_"});
}
const ir::Access& ProductStore::access(int id) const {
  return k_.accesses[static_cast<std::size_t>(id)];
}
DType ProductStore::dtype(int buffer) const {
  return k_.buffers[static_cast<std::size_t>(buffer)].dtype;
}

void ProductStore::write_tables() {
  for (std::size_t i = 0; i < k_.stages.size(); ++i)
    codegen::write_tables(out_, k_.stages[i].body, stage_name(i));
}

std::string ProductStore::place(const ir::Access& a, std::string_view column) const {
  OffsetText offset(a.offset);
  for (std::size_t i = 0; i < batch_axes_; ++i) offset.add(a.strides[i], "c" + std::to_string(i));
  offset.add(a.strides[batch_axes_], "row");
  offset.add(a.strides[batch_axes_ + 1], column);
  return cat({"b", std::to_string(a.buffer), "[", offset.text(), "]"});
}

/// The product itself, where it is kept.
ir::Access ProductStore::raw() const {
  ir::Access a{c_.out, c_.out_offset, Dims(k_.axes.size(), Dim(1))};
  for (std::size_t i = k_.axes.size() - 1; i-- > 0;)
    a.strides[i] = a.strides[i + 1] * k_.axes[i + 1];
  return a;
}

/// What neighbours of a row are read and written through.
std::vector<ir::Access> ProductStore::moved() const {
  std::vector<ir::Access> all;
  if (c_.kept) all.push_back(raw());
  for (const ir::Stage& stage : k_.stages) {
    for (std::size_t i = 0; i < stage.sources.size(); ++i) {
      const int id = stage.sources[i].id;
      const bool one = reads_product(id) || access(id).strides.back() == Dim(0);
      if (reads_input(stage.body, i) && !one) all.push_back(access(id));
    }
    for (const ir::Sink& sink : stage.sinks) all.push_back(access(sink.id));
  }
  return all;
}

void ProductStore::write_aligned(bool images) {
  const std::vector<ir::Access> all = moved();
  const auto size = [&](const ir::Access& a) { return static_cast<int>(size_of(dtype(a.buffer))); };
  int count = 8;
  for (const ir::Access& a : all) count = std::min(count, std::max(1, 16 / size(a)));
  const auto divides = [&](const Dim& d) { return d.is_constant() && d.value() % count == 0; };
  if (images && !divides(k_.axes.back())) return;
  std::string condition;
  for (const ir::Access& a : all) {
    const bool fits = a.strides.back() == Dim(1) && divides(a.offset) &&
                      std::all_of(a.strides.begin(), a.strides.end() - 1, divides);
    if (!fits) return;
    condition += cat({condition.empty() ? "" : " && ", "(weft_u64)b", std::to_string(a.buffer),
                      " % ", std::to_string(count * size(a)), " == 0"});
  }
  vector_ = count;
  if (vector_ > 1) out_.line(cat({"const bool aligned = ", condition, ";"}));
}

std::string ProductStore::vector_type(const ir::Access& a, int count) const {
  return cat({"weft_vector<", cuda_type(dtype(a.buffer)), ", ", std::to_string(count), ">"});
}

std::vector<std::vector<std::string>> ProductStore::write_loads(int count,
                                                                std::string_view column) {
  std::vector<std::vector<std::string>> inputs(k_.stages.size());
  for (std::size_t s = 0; s < k_.stages.size(); ++s) {
    const ir::Stage& stage = k_.stages[s];
    for (std::size_t i = 0; i < stage.sources.size(); ++i) {
      const int id = stage.sources[i].id;
      const std::string name = cat({"x", std::to_string(s), "_", std::to_string(i)});
      if (!reads_input(stage.body, i)) {
        inputs[s].emplace_back();
      } else if (reads_product(id)) {
        inputs[s].emplace_back("product");
      } else if (count == 1 || access(id).strides.back() == Dim(0)) {
        out_.line(cat({"const ", cuda_type(dtype(access(id).buffer)), " ", name, " = ",
                       place(access(id), column), ";"}));
        inputs[s].push_back(name);
      } else {
        const std::string type = vector_type(access(id), count);
        out_.line(cat({"const ", type, " ", name, " = *(const ", type, "*)&",
                       place(access(id), column), ";"}));
        inputs[s].push_back(name + ".at[j]");
      }
    }
  }
  return inputs;
}

void ProductStore::write_elements(int count, std::string_view column, std::string_view sum) {
  const bool one = count == 1;
  const std::vector<std::vector<std::string>> inputs = write_loads(count, column);
  std::vector<ir::Access> stores;
  if (c_.kept) stores.push_back(raw());
  for (const ir::Stage& stage : k_.stages)
    for (const ir::Sink& sink : stage.sinks) stores.push_back(access(sink.id));
  for (std::size_t i = 0; i < stores.size() && !one; ++i)
    out_.line(cat({vector_type(stores[i], count), " y", std::to_string(i), ";"}));
  const auto store = [&](std::size_t i, const std::string& value) {
    out_.line(cat({one ? place(stores[i], column) : cat({"y", std::to_string(i), ".at[j]"}), " = ",
                   value, ";"}));
  };
  if (!one) {
    out_.line("#pragma unroll");
    out_.open(cat({"for (int j = 0; j < ", std::to_string(count), "; ++j)"}));
  }
  const DType sums = dtype(c_.out);
  out_.line(cat({"const ", cuda_type(sums), " product = ", stored(sums, std::string(sum)), ";"}));
  std::size_t next = 0;
  if (c_.kept) store(next++, "product");
  std::vector<std::string> coordinates;
  for (std::size_t i = 0; i < batch_axes_; ++i) coordinates.push_back("c" + std::to_string(i));
  coordinates.emplace_back("row");
  coordinates.push_back(one ? std::string(column) : cat({"(", column, " + j)"}));
  for (std::size_t s = 0; s < k_.stages.size(); ++s) {
    const auto values = write_program(out_, k_.stages[s].body, inputs[s], coordinates,
                                      cat({"v", std::to_string(s), "_"}), stage_name(s));
    for (const ir::Sink& sink : k_.stages[s].sinks)
      store(next++, values[static_cast<std::size_t>(sink.output)]);
  }
  if (one) return;
  out_.close();
  for (std::size_t i = 0; i < stores.size(); ++i)
    out_.line(cat({"*(", vector_type(stores[i], count), "*)&", place(stores[i], column), " = y",
                   std::to_string(i), ";"}));
}

}  // namespace weft::codegen
