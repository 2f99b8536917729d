#include "codegen/cuda/element_text.h"

#include <algorithm>

namespace weft::codegen {
namespace {

using ir::Kernel;

/// How a group of neighbouring items reaches its elements.
enum class Reach : std::uint8_t {
  vector,   // side by side
  uniform,  // one for all
  apart,    // one by one
};

class Reaches {
 public:
  Reaches(const Kernel& k, const KernelFrame& frame, int vector) : frame_(frame), vector_(vector) {
    const auto last = number_of(frame.extents.back());
    along_row_ = frame.extents.size() == 1 || !last || *last % vector == 0;
    for (std::size_t a = 0; a < k.accesses.size(); ++a) all_.push_back(find(static_cast<int>(a)));
  }
  Reach operator[](int access) const { return all_[static_cast<std::size_t>(access)]; }
  /// Does a group lie in one row (of the last axis), so that its first coordinates say it all?
  [[nodiscard]] bool along_row() const { return along_row_; }
  /// What has to hold of unknown extents and strides.
  [[nodiscard]] std::vector<std::string> conditions(const Kernel& k) const {
    std::vector<std::string> all;
    const auto add = [&](const std::string& expression) {
      const std::string condition = cat({expression, " % ", str(vector_), " == 0"});
      if (!number_of(expression) && std::ranges::find(all, condition) == all.end())
        all.push_back(condition);
    };
    if (frame_.extents.size() == 1) return all;
    bool needed = std::ranges::find(frame_.layout.indexed, true) != frame_.layout.indexed.end();
    for (std::size_t a = 0; a < k.accesses.size(); ++a) {
      if (frame_.is_dense(static_cast<int>(a))) continue;
      needed = true;
      const auto& strides = frame_.accesses[a].strides;
      if (all_[a] != Reach::vector) continue;
      for (std::size_t j = 0; j + 1 < strides.size(); ++j) add(strides[j]);
    }
    if (needed && along_row_) add(frame_.extents.back());
    return all;
  }

 private:
  [[nodiscard]] Reach find(int access) const {
    if (vector_ == 1) return Reach::apart;
    if (frame_.is_dense(access)) return Reach::vector;
    if (!along_row_) return Reach::apart;
    const auto& strides = frame_.accesses[static_cast<std::size_t>(access)].strides;
    if (strides.back() == "0") return Reach::uniform;
    if (strides.back() != "1") return Reach::apart;
    for (std::size_t j = 0; j + 1 < strides.size(); ++j) {
      if (number_of(strides[j]).value_or(0) % vector_ != 0) return Reach::apart;
    }
    return Reach::vector;
  }

  const KernelFrame& frame_;
  int vector_;
  bool along_row_ = false;
  std::vector<Reach> all_;  // accesses
};

class ElementText {
 public:
  ElementText(const Kernel& k, const KernelFrame& frame, const CudaSchedule& s,
              std::string_view tables, TextWriter& out)
      : k_(k),
        frame_(frame),
        s_(s),
        reach_(k, frame, s.vector),
        stage_(k.stages[0]),
        tables_(tables),
        out_(out) {}

  void write();

 private:
  void write_groups();
  void write_loads();
  void write_results();
  void write_one();
  [[nodiscard]] std::string aligned() const;

  void coordinates_of(std::string_view item) {
    if (!flat_) frame_.write_coordinates(out_, item);
  }
  /// The first element of the group, or the item's.
  [[nodiscard]] std::string place(int access) const {
    const auto& a = frame_.accesses[static_cast<std::size_t>(access)];
    if (frame_.is_dense(access))
      return cat(
          {pointer_text(k_, access), " + ", a.offset == "0" ? "" : a.offset + " + ", "item"});
    return cat({pointer_text(k_, access), " + ", frame_.offset(access)});
  }
  [[nodiscard]] std::string vector_type(int access) const {
    return cat({"weft_vector<", cuda_type(element_type(k_, access)), ", ", str(s_.vector), ">"});
  }
  [[nodiscard]] bool used(std::size_t source) const { return reads_input(stage_.body, source); }

  const Kernel& k_;
  const KernelFrame& frame_;
  const CudaSchedule& s_;
  const Reaches reach_;
  const ir::Stage& stage_;
  std::string_view tables_;
  TextWriter& out_;
  bool flat_ = false;  // nobody asks for coordinates
};

std::string ElementText::aligned() const {
  std::vector<std::string> all = reach_.conditions(k_);
  for (std::size_t a = 0; a < k_.accesses.size(); ++a) {
    const int access = static_cast<int>(a);
    if (reach_[access] != Reach::vector) continue;
    const std::size_t bytes = std::min<std::size_t>(
        16, size_of(element_type(k_, access)) * static_cast<std::size_t>(s_.vector));
    const std::string& offset = frame_.accesses[a].offset;
    const std::string pointer = pointer_text(k_, access);
    const std::string condition =
        cat({"(weft_u64)", offset == "0" ? pointer : cat({"(", pointer, " + ", offset, ")"}), " % ",
             str(static_cast<std::int64_t>(bytes)), " == 0"});
    if (std::ranges::find(all, condition) == all.end()) all.push_back(condition);
  }
  std::string text;
  for (const std::string& condition : all)
    text.append(text.empty() ? "" : " && ").append(condition);
  return text.empty() ? "true" : text;
}

void ElementText::write() {
  flat_ = std::ranges::find(frame_.layout.indexed, true) == frame_.layout.indexed.end();
  for (std::size_t a = 0; a < k_.accesses.size(); ++a)
    flat_ = flat_ && frame_.is_dense(static_cast<int>(a));
  const std::string_view i = frame_.index_type;
  out_.line(cat({"const ", i, " items = ", frame_.items(), ";"}));
  const std::string count = str(s_.vector);
  if (s_.vector > 1) {
    out_.line(cat({"const bool aligned = ", aligned(), ";"}));
    out_.line(cat({"const ", i, " groups = aligned ? items / ", count, " : 0;"}));
  } else {
    out_.line(cat({"const ", i, " groups = items;"}));
  }
  write_groups();
  if (s_.vector == 1) return;
  const std::string threads = cat({"(", i, ")", str(s_.threads)});
  out_.open(cat({"for (", i, " item = groups * ", count, " + blockIdx.x * (", i, ")", threads,
                 " + threadIdx.x; item < items; item += gridDim.x * (", i, ")", threads, ")"}));
  write_one();
  out_.close();
}

void ElementText::write_groups() {
  const std::string_view i = frame_.index_type;
  const std::string step = cat({"(", i, ")", str(std::int64_t{s_.threads} * s_.groups)});
  out_.open(cat({"for (", i, " own = blockIdx.x * ", step,
                 " + threadIdx.x; own < groups; own += ", "gridDim.x * ", step, ")"}));
  for (std::size_t n = 0; n < stage_.sources.size(); ++n) {
    const int access = stage_.sources[n].id;
    if (!used(n)) continue;
    const bool one = s_.vector == 1 || reach_[access] == Reach::uniform;
    out_.line(cat({one ? cuda_type(element_type(k_, access)) : vector_type(access), " x",
                   str(static_cast<std::int64_t>(n)), "[", str(s_.groups), "];"}));
  }
  for (const bool loads : {true, false}) {
    out_.line("#pragma unroll");
    out_.open(cat({"for (int u = 0; u < ", str(s_.groups), "; ++u)"}));
    out_.line(cat({"const ", i, " wanted = own + u * ", str(s_.threads), ";"}));
    // Beyond the last group the first is read again, so that loads wait for no decision.
    const std::string group = "(wanted < groups ? wanted : own)";
    out_.line(cat({"const ", i, " item = ", group,
                   s_.vector == 1 ? std::string() : " * " + str(s_.vector), ";"}));
    if (reach_.along_row()) coordinates_of("item");
    loads ? write_loads() : write_results();
    out_.close();
  }
  out_.close();
}

void ElementText::write_loads() {
  for (std::size_t n = 0; n < stage_.sources.size(); ++n) {
    const int access = stage_.sources[n].id;
    if (!used(n)) continue;
    const std::string x = cat({"x", str(static_cast<std::int64_t>(n)), "[u]"});
    const auto& strides = frame_.accesses[static_cast<std::size_t>(access)].strides;
    if (s_.vector == 1 || reach_[access] == Reach::uniform) {
      out_.line(cat({x, " = *(", place(access), ");"}));
    } else if (reach_[access] == Reach::vector) {
      out_.line(cat({"weft_load(", x, ", ", place(access), ");"}));
    } else {
      out_.line("#pragma unroll");
      out_.open(cat({"for (int j = 0; j < ", str(s_.vector), "; ++j)"}));
      if (!reach_.along_row()) frame_.write_coordinates(out_, "(item + j)");
      const std::string further = reach_.along_row() ? cat({" + j * ", strides.back()}) : "";
      out_.line(cat({x, ".at[j] = *(", place(access), further, ");"}));
      out_.close();
    }
  }
}

void ElementText::write_results() {
  std::vector<std::string> inputs;
  for (std::size_t n = 0; n < stage_.sources.size(); ++n) {
    const int access = stage_.sources[n].id;
    const bool one = s_.vector == 1 || reach_[access] == Reach::uniform;
    inputs.push_back(
        !used(n) ? "" : cat({"x", str(static_cast<std::int64_t>(n)), one ? "[u]" : "[u].at[j]"}));
  }
  std::vector<std::string> coordinates = frame_.coordinates;
  if (s_.vector == 1) {
    const auto values = write_program(out_, stage_.body, inputs, coordinates, "v", tables_);
    for (const ir::Sink& s : stage_.sinks)
      out_.line(cat({"if (wanted < groups) *(", place(s.id),
                     ") = ", values[static_cast<std::size_t>(s.output)], ";"}));
    return;
  }
  for (const ir::Sink& s : stage_.sinks) out_.line(cat({vector_type(s.id), " y", str(s.id), ";"}));
  out_.line("#pragma unroll");
  out_.open(cat({"for (int j = 0; j < ", str(s_.vector), "; ++j)"}));
  if (!reach_.along_row()) coordinates_of("(item + j)");
  const std::string last = "c" + str(static_cast<std::int64_t>(frame_.extents.size()) - 1);
  for (std::string& c : coordinates)
    if (reach_.along_row() && c == last) c = cat({"(", last, " + j)"});
  const auto values = write_program(out_, stage_.body, inputs, coordinates, "v", tables_);
  for (const ir::Sink& s : stage_.sinks) {
    const std::string& value = values[static_cast<std::size_t>(s.output)];
    const auto& strides = frame_.accesses[static_cast<std::size_t>(s.id)].strides;
    if (reach_[s.id] == Reach::vector)
      out_.line(cat({"y", str(s.id), ".at[j] = ", value, ";"}));
    else
      out_.line(
          cat({"if (wanted < groups) *(", place(s.id),
               reach_.along_row() ? cat({" + j * ", strides.back()}) : "", ") = ", value, ";"}));
  }
  out_.close();
  for (const ir::Sink& s : stage_.sinks) {
    if (reach_[s.id] == Reach::vector)
      out_.line(cat({"if (wanted < groups) ", s_.streaming ? "weft_stream(" : "weft_store(",
                     place(s.id), ", y", str(s.id), ");"}));
  }
}

void ElementText::write_one() {
  coordinates_of("item");
  std::vector<std::string> inputs;
  for (std::size_t n = 0; n < stage_.sources.size(); ++n) {
    inputs.emplace_back();
    if (!used(n)) continue;
    const int access = stage_.sources[n].id;
    inputs.back() = cat({"x", str(static_cast<std::int64_t>(n))});
    out_.line(cat({"const ", cuda_type(element_type(k_, access)), " ", inputs.back(), " = *(",
                   place(access), ");"}));
  }
  const auto values = write_program(out_, stage_.body, inputs, frame_.coordinates, "v", tables_);
  for (const ir::Sink& s : stage_.sinks)
    out_.line(cat({"*(", place(s.id), ") = ", values[static_cast<std::size_t>(s.output)], ";"}));
}

}  // namespace

bool moves_vectors(const Kernel& k, const KernelFrame& frame, int vector) {
  if (vector < 2) return false;
  const Reaches reach(k, frame, vector);
  bool any = false;
  for (std::size_t a = 0; a < k.accesses.size(); ++a) {
    any = any || reach[static_cast<int>(a)] == Reach::vector;
    if (reach[static_cast<int>(a)] != Reach::apart) continue;
    // What is broadcast stays in the cache; of what is not, neighbours should ask together.
    const auto& strides = frame.accesses[a].strides;
    const bool broadcast = std::ranges::find(strides, "0") != strides.end();
    if (!broadcast || k.buffers[static_cast<std::size_t>(k.accesses[a].buffer)].written)
      return false;
    if (!frame.layout.constant) continue;
    std::int64_t reached = 1;
    for (std::size_t j = 0; j < strides.size(); ++j)
      if (strides[j] != "0") reached *= frame.geometry.extents[j];
    if (4 * reached > frame.geometry.items) return false;
  }
  return any && !(frame.layout.constant && frame.geometry.items < vector);
}

void write_elements(const Kernel& k, const KernelFrame& frame, const CudaSchedule& s,
                    std::string_view name, TextWriter& out) {
  ElementText(k, frame, s, cat({name, "_table0_"}), out).write();
}

}  // namespace weft::codegen
