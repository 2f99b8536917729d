// What becomes of a product's finished sums: they are kept, and go through the kernel's stages to
// where it belongs, one by one or as many neighbours of a row as move at once. The text finds an
// element by `row`, a column, and the batch's coordinates c0, c1, …
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codegen/cuda/scalar_text.h"
#include "ir/kernel.h"

namespace weft::codegen {

class ProductStore {
 public:
  ProductStore(const ir::Kernel& kernel, std::string_view name, TextWriter& out)
      : k_(kernel),
        c_(*kernel.contraction),
        name_(name),
        batch_axes_(kernel.axes.size() - 2),
        out_(out) {}

  void write_tables();
  /// Finds `vector`, and writes the condition on pointers for it (`aligned`). `images`: neighbours
  /// may be of one image and the next.
  void write_aligned(bool images);
  /// Neighbours that move at once: 1 until write_aligned.
  [[nodiscard]] int vector() const { return vector_; }
  /// `count` elements of a row from `column` on; their sums are `sum`, over j.
  void write_elements(int count, std::string_view column, std::string_view sum);

 private:
  [[nodiscard]] std::string stage_name(std::size_t stage) const;
  [[nodiscard]] const ir::Access& access(int id) const;
  [[nodiscard]] DType dtype(int buffer) const;
  [[nodiscard]] std::string place(const ir::Access&, std::string_view column) const;
  [[nodiscard]] ir::Access raw() const;
  [[nodiscard]] bool reads_product(int id) const { return access(id).buffer == c_.out; }
  [[nodiscard]] std::vector<ir::Access> moved() const;
  [[nodiscard]] std::string vector_type(const ir::Access&, int count) const;
  /// Names of what the stages read, which is loaded.
  std::vector<std::vector<std::string>> write_loads(int count, std::string_view column);

  const ir::Kernel& k_;
  const ir::Contraction& c_;
  const std::string name_;
  const std::size_t batch_axes_;
  int vector_ = 1;
  TextWriter& out_;
};

}  // namespace weft::codegen
