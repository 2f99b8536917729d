// Evaluation: greedy, lazy, in real time.
//
// Greedy (the default): `set_value` brings every held tensor that depends on the input up to date
// before it returns, each computed once. Lazy: `set_value` only marks; `value()` computes what is
// needed. A Transaction makes many inputs one update. An update is all or nothing: one that fails
// leaves every value as it was and throws.
#pragma once

#include <memory>

#include "weft/tensor.h"

namespace weft {

enum class EvalMode : std::uint8_t { greedy, lazy };

/// Sets this thread's mode until it goes out of scope; its end evaluates nothing.
class ScopedEvalMode {
 public:
  explicit ScopedEvalMode(EvalMode mode);
  ~ScopedEvalMode();
  ScopedEvalMode(const ScopedEvalMode&) = delete;
  ScopedEvalMode& operator=(const ScopedEvalMode&) = delete;

 private:
  EvalMode previous_;
};
EvalMode eval_mode();

/// Collects this thread's `set_value`s into one consistent update. Reads inside see the old values.
/// Nested ones join the outermost. The destructor commits (and may throw) unless an exception is
/// unwinding, which discards what was set while it was open, and no more.
class Transaction {
 public:
  Transaction();
  ~Transaction() noexcept(false);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  int exceptions_;
  bool open_ = true;
};

/// Keeps a watcher and its tensor alive; ends the watching when destroyed.
class Subscription {
 public:
  Subscription() = default;
  explicit Subscription(std::shared_ptr<void> token) : token_(std::move(token)) {}
  void end() { token_.reset(); }

 private:
  std::shared_ptr<void> token_;
};

/// Nodes and buffers alive in the process.
std::int64_t live_objects();

}  // namespace weft
