// The text of one row kernel while it is written: what its mappings share (row_text.cpp), a thread
// an item (row_text.cpp) and teams of threads that hold lanes (lane_text.cpp).
#pragma once

#include <algorithm>

#include "codegen/cuda/row_text.h"

namespace weft::codegen {

class RowWriter {
 public:
  RowWriter(const ir::Kernel& k, const KernelFrame& frame, const CudaSchedule& s,
            std::string_view name, TextWriter& out)
      : k_(k),
        frame_(frame),
        s_(s),
        name_(name),
        index_(frame.index_type),
        out_(out),
        storage_(row_storage(k, s)),
        one_level_(has_one_level(k)),
        some_idle_(leaves_idle(k, frame, s)) {}

  void write();

 private:
  using Names = std::vector<std::string>;

  // What all share.
  void write_units();
  void write_all_items();
  void write_items_and_columns();
  void write_row_temps();
  void write_item();
  Names write_point_sources(std::size_t stage);
  void write_point_stage(std::size_t stage);
  void write_element(std::size_t stage);
  void start_accumulators(std::size_t stage, char level, ir::ReductionOrder order, int copies);
  void set_point_temps(const ir::KernelReduction& r, const Names& values);

  // Pieces of a row, whose elements are loaded together. The text's `at` numbers the elements that
  // the thread has, `e` those of a piece.
  void write_owned_elements(std::size_t stage, std::string_view start, std::string_view end);
  void write_held(std::size_t stage);
  void write_pieces(std::size_t stage, int count);
  void write_position();
  [[nodiscard]] int piece(std::size_t stage) const;
  [[nodiscard]] int turn(std::size_t stage) const;
  [[nodiscard]] std::string inside(std::size_t stage) const;
  [[nodiscard]] std::string within_row(std::size_t stage) const;
  [[nodiscard]] bool kept_in_array(std::size_t stage, std::size_t source) const;

  // In order.
  void write_thread_stage(std::size_t stage);
  void write_end_of_block(std::size_t stage);
  void write_next_block(std::size_t stage, std::size_t r);
  void finish_in_order(std::size_t stage, std::size_t r);

  // In lanes.
  void write_lane_stage(std::size_t stage);
  void write_level_by_rounds(std::size_t stage);
  void write_level_by_warp(std::size_t stage);
  void write_block_results(std::size_t stage);
  void write_accumulation(std::size_t stage);
  void write_tree(std::size_t stage, std::size_t r, char level, int lanes, int team);
  void spread(const Names& values, int team);
  void combine_second(std::size_t stage, std::size_t r, std::string_view number,
                      std::string_view condition, const Names& results);
  void finish_second(std::size_t stage);

  [[nodiscard]] const std::vector<ir::KernelReduction>& reductions(std::size_t stage) const {
    return k_.stages[stage].reductions;
  }
  [[nodiscard]] static DType accumulator(const ir::KernelReduction& r, std::size_t a) {
    return r.combine.inputs[a];
  }
  /// Names of a reduction's accumulators: `f0_1[w]` is accumulator 1 of reduction 0 on the first
  /// level, `g` the second.
  [[nodiscard]] static Names names(const ir::KernelReduction& r, std::size_t number, char level,
                                   std::string_view element) {
    Names all;
    for (std::size_t a = 0; a < r.temps.size(); ++a)
      all.push_back(cat(
          {std::string_view(&level, 1), std::to_string(number), "_", std::to_string(a), element}));
    return all;
  }
  /// Likewise of a stage's arrays in shared memory.
  [[nodiscard]] static Names shared_names(const ir::KernelReduction& r, std::string_view array,
                                          std::size_t stage, std::size_t number,
                                          std::string_view element) {
    Names all;
    for (std::size_t a = 0; a < r.temps.size(); ++a)
      all.push_back(cat({array, std::to_string(stage), "_", std::to_string(number), "_",
                         std::to_string(a), element}));
    return all;
  }
  void combine(std::size_t stage, std::size_t r, const Names& left, const Names& right);
  void assign(const Names& left, const Names& right) {
    for (std::size_t i = 0; i < left.size(); ++i) out_.line(cat({left[i], " = ", right[i], ";"}));
  }
  [[nodiscard]] bool has_order(std::size_t stage, ir::ReductionOrder order) const {
    return std::ranges::any_of(reductions(stage), [&](const auto& r) { return r.order == order; });
  }
  /// In blocks, whose results are combined.
  [[nodiscard]] bool two_levels(const ir::KernelReduction& r) const {
    const auto row = k_.axes.back().constant();
    return !r.partial && !r.second_level && !(row && *row <= ir::row_block);
  }
  [[nodiscard]] bool moves(int access) const {  // along the row
    return frame_.accesses[static_cast<std::size_t>(access)].row_stride != "0";
  }
  /// Element r of the row (of a point, where the access does not move).
  [[nodiscard]] std::string place(int access) const;
  [[nodiscard]] std::string row_temp(int temp) const;
  [[nodiscard]] Names coordinates() const {
    Names all = frame_.coordinates;
    all.emplace_back("r");
    return all;
  }
  [[nodiscard]] int lanes_each() const { return static_cast<int>(ir::lane_count) / s_.team; }
  [[nodiscard]] bool by_block() const {
    return s_.mapping == CudaSchedule::Mapping::lanes && s_.team == 64;
  }
  [[nodiscard]] bool alone() const {  // a thread an item
    return s_.mapping == CudaSchedule::Mapping::thread || s_.team == 1;
  }
  /// Teams that share a warp, or a barrier, with others may find no item while those have one.
  static bool leaves_idle(const ir::Kernel& k, const KernelFrame& frame, const CudaSchedule& s) {
    if (s.mapping != CudaSchedule::Mapping::lanes || s.team == 1) return false;
    const int together = !k.columns.empty() ? s.rows_at_once() : s.team < 32 ? 32 / s.team : 1;
    return together > 1 && (!frame.layout.constant || frame.geometry.items % together != 0);
  }
  [[nodiscard]] bool is_held(int access) const {
    return std::ranges::find(storage_.held, access) != storage_.held.end();
  }

  const ir::Kernel& k_;
  const KernelFrame& frame_;
  const CudaSchedule& s_;
  std::string_view name_, index_;
  const std::string row_block_ = std::to_string(ir::row_block);
  TextWriter& out_;
  RowStorage storage_;
  bool one_level_, some_idle_;
};

}  // namespace weft::codegen
