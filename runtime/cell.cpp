#include "runtime/cell.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <list>
#include <unordered_map>

#include "ir/ops/ops.h"
#include "runtime/reactive.h"
#include "runtime/table.h"

namespace weft::runtime {
namespace {

using ir::Node;
using ir::NodeRef;

constexpr double native_after_ns = 20e6;
constexpr std::size_t kept_cells = 1024;
constexpr std::int64_t inline_elements = 16;

CellCompiler* compiler = nullptr;

double now_ns() {
  return static_cast<double>(std::chrono::steady_clock::now().time_since_epoch() /
                             std::chrono::nanoseconds(1));
}

ir::Type type_of(const Node& node, const Array& value) {
  return {value.dtype(), to_dims(value.shape()), node.type().weak};
}

/// What two cells must agree on to share code: the numbered structure, the attributes, the types of
/// the inputs.
struct CellKey {
  std::vector<std::size_t> words;
  std::vector<ir::Attrs> attrs;
  std::vector<ir::Type> types;
  Device device;
  std::size_t hash = 0;

  friend bool operator==(const CellKey& a, const CellKey& b) {
    return a.device == b.device && a.words == b.words && a.types == b.types && a.attrs == b.attrs;
  }
};

CellKey key_of(std::span<const Node* const> inputs, std::span<const Node* const> outputs,
               std::span<const Array* const> values, Device device) {
  CellKey key;
  key.device = device;
  if (!device.is_cpu()) key.words.push_back(static_cast<std::size_t>(matmul_precision()));
  std::unordered_map<const Node*, std::size_t> numbers;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    numbers.emplace(inputs[i], i);
    key.types.push_back(type_of(*inputs[i], *values[i]));
  }
  std::vector<NodeRef> roots;
  for (const Node* output : outputs) roots.emplace_back(output);
  const auto outside = [&](const Node& node) { return numbers.contains(&node); };
  for (const Node* node : ir::topological_order(roots, outside)) {
    if (!numbers.emplace(node, numbers.size()).second) continue;
    key.words.push_back(reinterpret_cast<std::uintptr_t>(&node->op()));
    key.words.push_back(node->inputs().size());
    for (const NodeRef& input : node->inputs()) key.words.push_back(numbers.at(input.get()));
    key.words.push_back(node->type().weak);
    if (!node->attrs().empty()) key.attrs.push_back(node->attrs());
    key.words.push_back(key.attrs.size());
  }
  for (const Node* output : outputs) key.words.push_back(numbers.at(output));
  for (const std::size_t word : key.words) ir::mix_hash(key.hash, word);
  for (const ir::Type& type : key.types) ir::mix_hash(key.hash, hash(type));
  for (const ir::Attrs& attrs : key.attrs) ir::mix_hash(key.hash, attrs.hash());
  return key;
}

/// Code by structure; the least recently used goes first.
class CellCache {
 public:
  std::shared_ptr<CellCode> find(const CellKey& key) {
    const std::scoped_lock lock(mutex_);
    const auto [first, last] = by_hash_.equal_range(key.hash);
    for (auto it = first; it != last; ++it) {
      if (!(it->second->key == key)) continue;
      entries_.splice(entries_.begin(), entries_, it->second);
      return it->second->code;
    }
    return nullptr;
  }
  void insert(CellKey key, std::shared_ptr<CellCode> code) {
    std::list<Entry> dropped;  // destroyed after the mutex is free
    const std::scoped_lock lock(mutex_);
    const std::size_t hash = key.hash;
    entries_.push_front({std::move(key), std::move(code)});
    by_hash_.emplace(hash, entries_.begin());
    if (entries_.size() > kept_cells) drop(std::prev(entries_.end()), dropped);
  }
  void trim() {
    std::list<Entry> dropped;
    const std::scoped_lock lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end();) {
      const auto entry = it++;
      if (entry->code.use_count() == 1) drop(entry, dropped);
    }
  }

 private:
  struct Entry {
    CellKey key;
    std::shared_ptr<CellCode> code;
  };
  void drop(std::list<Entry>::iterator entry, std::list<Entry>& dropped) {
    const auto [first, last] = by_hash_.equal_range(entry->key.hash);
    for (auto it = first; it != last; ++it)
      if (it->second == entry) {
        by_hash_.erase(it);
        break;
      }
    dropped.splice(dropped.end(), entries_, entry);
  }

  std::mutex mutex_;
  std::list<Entry> entries_;
  std::unordered_multimap<std::size_t, std::list<Entry>::iterator> by_hash_;
};

CellCache& cache() {
  static auto& cells = *new CellCache;  // outlives tensors with static storage
  return cells;
}

CellCode::Runnable compile(std::span<const Node* const> inputs,
                           std::span<const Node* const> outputs,
                           std::span<const Array* const> values, Device device, bool native) {
  assert(compiler);
  std::vector<NodeRef> in, out;
  std::vector<ir::Type> types;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    in.emplace_back(inputs[i]);
    types.push_back(type_of(*inputs[i], *values[i]));
  }
  for (const Node* output : outputs) out.emplace_back(output);
  const ir::Graph graph(std::move(in), std::move(out));
  if (auto staged = compiler->stage(graph, types, device, native))
    return {nullptr, std::move(staged)};
  return {compiler->compile(graph, types, device, native), nullptr};
}

/// The same bytes under another dtype and shape.
Array as_stored(const Array& value, DType dtype, const Shape& shape) {
  return Array::from_buffer(value.buffer(), dtype, shape, contiguous_strides(shape),
                            value.offset());
}

}  // namespace

void set_cell_compiler(CellCompiler& installed) { compiler = &installed; }

void trim_cells() { cache().trim(); }

bool is_inline_constant(const Node& node) {
  return &node.op() == &ir::ops::constant &&
         node.attrs().get<ir::ConstantAttrs>().value.size() <= inline_elements;
}

CellCode::CellCode(Runnable runnable, std::span<const Array* const> inputs, std::size_t outputs,
                   Device device)
    : outputs_(outputs), device_(device) {
  for (const Array* input : inputs) {
    dtypes_.push_back(input->dtype());
    shapes_.push_back(input->shape());
  }
  replace(std::move(runnable), !device.is_cpu());
}

void CellCode::replace(Runnable runnable, bool native) {
  std::vector<const Shape*> shapes;
  for (const Shape& shape : shapes_) shapes.push_back(&shape);
  auto sizes = runnable.program ? runnable.program->size(shapes) : nullptr;
  const std::scoped_lock lock(mutex_);
  code_ = {std::move(runnable), std::move(sizes), native};
}

bool CellCode::fits(std::span<const Array* const> inputs) const {
  if (inputs.size() != dtypes_.size()) return false;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i]->dtype() != dtypes_[i] || inputs[i]->shape() != shapes_[i]) return false;
  return true;
}

CellCode::Code CellCode::code() const {
  const std::scoped_lock lock(mutex_);
  return code_;
}

bool CellCode::wants_native() const {
  const std::scoped_lock lock(mutex_);
  return !code_.native && spent_ns_ > native_after_ns;
}

void CellCode::run(std::span<const Array* const> inputs, std::span<Array> outputs) {
  const Code code = this->code();
  assert(outputs.size() == outputs_);
  const double start = code.native ? 0 : now_ns();
  if (code.what.staged)
    std::ranges::move(code.what.staged->run(inputs), outputs.begin());
  else
    run_program(code, inputs, outputs);
  if (start == 0) return;
  const std::scoped_lock lock(mutex_);
  spent_ns_ += now_ns() - start;
}

void CellCode::run_program(const Code& code, std::span<const Array* const> inputs,
                           std::span<Array> outputs) const {
  const Program& program = *code.what.program;
  const ir::Plan& plan = program.plan();
  const std::span<const Shape> shapes = Program::output_shapes(*code.sizes);
  const std::span<const LayoutRef> layouts = Program::output_layouts(*code.sizes);
  Table<void*> in(inputs.size()), out(outputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    in[i] = const_cast<std::byte*>(inputs[i]->bytes());
  const auto slot_of = [&](std::size_t i) -> const ir::Slot& {
    return plan.slots[static_cast<std::size_t>(plan.outputs[i])];
  };
  // The slot may be another output's (equal results are one), an input's or a constant's.
  const auto is_own = [&](std::size_t i) {
    return slot_of(i).kind == ir::Slot::Kind::output && slot_of(i).number == static_cast<int>(i);
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    out[i] = nullptr;
    if (!is_own(i)) continue;
    outputs[i] = Array::laid_out(slot_of(i).dtype, layouts[i], device_);
    out[i] = const_cast<std::byte*>(outputs[i].bytes());
  }
  program.run(*code.sizes, in.data(), out.data());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (is_own(i)) continue;
    const auto number = static_cast<std::size_t>(slot_of(i).number);
    switch (slot_of(i).kind) {
      case ir::Slot::Kind::input: outputs[i] = *inputs[number]; break;
      case ir::Slot::Kind::constant:
        outputs[i] = from_literal(plan.constants[number]).to(device_);
        break;
      case ir::Slot::Kind::output: outputs[i] = outputs[number]; break;
      case ir::Slot::Kind::temp:
      case ir::Slot::Kind::local: assert(false); break;
    }
    if (outputs[i].dtype() != slot_of(i).dtype)  // complex numbers and their parts are one memory
      outputs[i] = as_stored(outputs[i], slot_of(i).dtype, shapes[i]);
  }
}

std::shared_ptr<CellCode> find_cell(std::span<const Node* const> inputs,
                                    std::span<const Node* const> outputs,
                                    std::span<const Array* const> values, Device device) {
  CellKey key = key_of(inputs, outputs, values, device);
  if (auto found = cache().find(key)) return found;
  auto code = std::make_shared<CellCode>(compile(inputs, outputs, values, device, false), values,
                                         outputs.size(), device);
  cache().insert(std::move(key), code);
  return code;
}

void make_native(CellCode& code, std::span<const Node* const> inputs,
                 std::span<const Node* const> outputs, std::span<const Array* const> values) {
  code.replace(compile(inputs, outputs, values, code.device(), true), true);
}

namespace {

/// Where one of them is that is on a device; else the processor.
Device device_for(std::span<const Array> inputs) {
  for (const Array& input : inputs)
    if (!input.device().is_cpu()) return input.device();
  return {};
}

std::vector<const Array*> pointers(std::span<const Array> arrays) {
  std::vector<const Array*> result;
  for (const Array& array : arrays) result.push_back(&array);
  return result;
}

std::vector<const Node*> pointers(std::span<const NodeRef> nodes) {
  std::vector<const Node*> result;
  for (const NodeRef& node : nodes) result.push_back(node.get());
  return result;
}

}  // namespace

std::shared_ptr<CellCode> cell_code(const ir::Graph& graph, std::span<const Array> inputs) {
  return find_cell(pointers(graph.inputs()), pointers(graph.outputs()), pointers(inputs),
                   device_for(inputs));
}

bool wants_native(const CellCode& code) { return code.wants_native(); }

void make_native(CellCode& code, const ir::Graph& graph, std::span<const Array> inputs) {
  make_native(code, pointers(graph.inputs()), pointers(graph.outputs()), pointers(inputs));
}

bool fits(const CellCode& code, std::span<const Array> inputs) {
  return code.device() == device_for(inputs) && code.fits(pointers(inputs));
}

std::vector<Array> run_cell(CellCode& code, std::span<const Array> inputs) {
  std::vector<Array> outputs(code.output_count()), moved;
  std::vector<const Array*> there = pointers(inputs);
  for (const Array*& input : there) {
    if (input->device() == code.device()) continue;
    moved.reserve(inputs.size());  // addresses stay
    input = &moved.emplace_back(input->to(code.device()));
  }
  code.run(there, outputs);
  return outputs;
}

}  // namespace weft::runtime
