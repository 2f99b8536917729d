// Modules: owners of parameters, buffers and other modules. A module builds graph nodes when it is
// called; what it builds is differentiated, compiled and updated like any other graph.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weft/io.h"
#include "weft/tensor.h"

namespace weft::nn {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

namespace detail {
struct Parametrization;
}

/// Owns parameters, buffers and child modules by name. Copies share all of them.
class Module {
 public:
  using Where = std::source_location;

  virtual ~Module() = default;
  /// UnsupportedOp unless overridden: some modules take other operands than one tensor.
  virtual Tensor forward(const Tensor& x);
  /// forward(x). What Weft's own modules build in it is on the line of the call. In training mode,
  /// and where x has a value, layers with running statistics (BatchNorm1d) update these now.
  Tensor operator()(const Operand& x);

  /// Own parameters first, then the children's, in order of registration.
  [[nodiscard]] std::vector<Tensor> parameters() const;
  /// The same with dotted names: `0.weight`. What has several names is there once, by its first.
  [[nodiscard]] NamedTensors named_parameters() const;
  [[nodiscard]] std::int64_t parameter_count() const;
  /// State that no optimiser changes: running statistics.
  [[nodiscard]] std::vector<Tensor> buffers() const;
  [[nodiscard]] NamedTensors named_buffers() const;

  /// Training mode is read when a graph is built: dropout and the like.
  Module& train(bool on = true);
  Module& eval() { return train(false); }
  [[nodiscard]] bool is_training() const { return training_; }
  void zero_grad() const;
  Module& requires_grad(bool on);
  /// Calls `function` with every module below this one, children before their parents, and with
  /// this one last.
  Module& apply(const std::function<void(Module&)>& function);
  /// Moves every parameter and buffer, or none where it throws (what depends on them has to
  /// follow).
  Module& to(Device device);

  /// Parameters, then buffers, under every name.
  [[nodiscard]] NamedTensors named_state() const;
  /// Their values.
  [[nodiscard]] NamedArrays state_dict() const;
  /// Every parameter and buffer must be there, of its shape, and nothing else; Error names the
  /// first that is not. `strict` false: names that only one side has are passed over. Changes
  /// nothing when it throws.
  void load_state_dict(const NamedArrays& state, bool strict = true,
                       Where where = Where::current());

 protected:
  Module() = default;
  Module(const Module&) = default;
  Module& operator=(const Module&) = default;
  /// Names are without dots, and given once (Error).
  Tensor register_parameter(std::string name, const Array& value, Where where = Where::current());
  Tensor register_buffer(std::string name, const Array& value, Where where = Where::current());
  template <class M>
  std::shared_ptr<M> register_module(std::string name, std::shared_ptr<M> child,
                                     Where where = Where::current()) {
    add_child(std::move(name), child, where);
    return child;
  }
  template <class M>
  requires std::is_base_of_v<Module, M> std::shared_ptr<M> register_module(
      std::string name, M child, Where where = Where::current()) {
    return register_module(std::move(name), std::make_shared<M>(std::move(child)), where);
  }

 private:
  friend struct detail::Parametrization;
  /// A parameter in whose place those are registered that it is computed from.
  struct Made {
    const char* by;
    std::string name;
    std::vector<std::string> parts;
    Tensor in_training, in_evaluation;
    std::function<Tensor&(Module&)> member;  // which holds one of the two
  };

  void collect(const std::string& prefix, NamedTensors Module::*own, NamedTensors& into) const;
  void demand_free(const std::string& name, Where where) const;
  void add_child(std::string name, std::shared_ptr<Module> child, Where where);

  NamedTensors own_, buffers_;
  std::vector<Made> made_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> children_;
  bool training_ = true;
};

/// A module of Weft's own: what it builds is on the line of its operand. In `forward`, that is the
/// line of the innermost call of a module.
class Layer : public Module {
 public:
  virtual Tensor build(const Operand& x) = 0;
  Tensor forward(const Tensor& x) override;
};

template <class M>
concept ModuleType = std::is_base_of_v<Module, std::remove_cvref_t<M>>;

/// Modules one after another.
class Sequential : public Layer {
 public:
  Sequential() = default;
  template <class First, class... Rest>
  requires(ModuleType<First> && !(sizeof...(Rest) == 0 &&
                                  std::is_same_v<std::remove_cvref_t<First>,
                                                 Sequential>)) explicit Sequential(First&& first,
                                                                                   Rest&&... rest) {
    push_back(std::forward<First>(first));
    (push_back(std::forward<Rest>(rest)), ...);
  }
  template <ModuleType M> Sequential& push_back(M&& module, Where where = Where::current()) {
    return push_back(std::make_shared<std::remove_cvref_t<M>>(std::forward<M>(module)), where);
  }
  template <class M>
  Sequential& push_back(std::shared_ptr<M> module, Where where = Where::current()) {
    steps_.push_back(register_module(std::to_string(steps_.size()), std::move(module), where));
    return *this;
  }
  Tensor build(const Operand& x) override;

 private:
  std::vector<std::shared_ptr<Module>> steps_;
};

/// x + module(x). (A Residual within a Residual is given as a shared_ptr: a copy would be the same
/// one.)
class Residual : public Layer {
 public:
  template <ModuleType M>
  requires(!std::is_same_v<std::remove_cvref_t<M>, Residual>) explicit Residual(
      M&& module, Where where = Where::current())
      : Residual(std::make_shared<std::remove_cvref_t<M>>(std::forward<M>(module)), where) {}
  template <class M>
  explicit Residual(std::shared_ptr<M> module, Where where = Where::current())
      : inner_(register_module("module", std::move(module), where)) {}
  Tensor build(const Operand& x) override;

 private:
  std::shared_ptr<Module> inner_;
};

/// Modules side by side: what each makes of x, joined along axis `dim`. Named `0`, `1`, …
class Fork : public Layer {
 public:
  template <ModuleType... Branches> explicit Fork(std::int64_t dim, Branches&&... branches)
      : dim_(dim) {
    (push_back(std::forward<Branches>(branches)), ...);
  }
  template <ModuleType M> Fork& push_back(M&& module, Where where = Where::current()) {
    return push_back(std::make_shared<std::remove_cvref_t<M>>(std::forward<M>(module)), where);
  }
  template <class M> Fork& push_back(std::shared_ptr<M> module, Where where = Where::current()) {
    branches_.push_back(
        register_module(std::to_string(branches_.size()), std::move(module), where));
    return *this;
  }
  Tensor build(const Operand& x) override;

 private:
  std::int64_t dim_;
  std::vector<std::shared_ptr<Module>> branches_;
};

/// A function as a module.
class Callback : public Module {
 public:
  explicit Callback(std::function<Tensor(const Tensor&)> function, Where where = Where::current());
  Tensor forward(const Tensor& x) override { return function_(x); }

 private:
  std::function<Tensor(const Tensor&)> function_;
};

/// Modules in a list, named `0`, `1`, …; the owner says how they are called.
class ModuleList : public Module {
 public:
  ModuleList() = default;
  template <ModuleType M> ModuleList& push_back(M&& module, Where where = Where::current()) {
    return push_back(std::make_shared<std::remove_cvref_t<M>>(std::forward<M>(module)), where);
  }
  template <class M>
  ModuleList& push_back(std::shared_ptr<M> module, Where where = Where::current()) {
    items_.push_back(register_module(std::to_string(items_.size()), std::move(module), where));
    return *this;
  }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  /// IndexError where there is none.
  [[nodiscard]] Module& operator[](std::size_t i) const;
  [[nodiscard]] auto begin() const { return items_.begin(); }
  [[nodiscard]] auto end() const { return items_.end(); }

 private:
  std::vector<std::shared_ptr<Module>> items_;
};

/// Modules by name, in order of insertion.
class ModuleDict : public Module {
 public:
  using Item = std::pair<std::string, std::shared_ptr<Module>>;
  ModuleDict() = default;
  /// Error where the name is taken, empty, or has dots.
  template <ModuleType M>
  ModuleDict& insert(std::string name, M&& module, Where where = Where::current()) {
    return insert(std::move(name),
                  std::make_shared<std::remove_cvref_t<M>>(std::forward<M>(module)), where);
  }
  template <class M>
  ModuleDict& insert(std::string name, std::shared_ptr<M> module, Where where = Where::current()) {
    auto child = register_module(name, std::move(module), where);
    items_.emplace_back(std::move(name), std::move(child));
    return *this;
  }
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] bool contains(const std::string& name) const;
  /// IndexError where there is none.
  [[nodiscard]] Module& operator[](const std::string& name) const;
  [[nodiscard]] auto begin() const { return items_.begin(); }
  [[nodiscard]] auto end() const { return items_.end(); }

 private:
  std::vector<Item> items_;
};

}  // namespace weft::nn
