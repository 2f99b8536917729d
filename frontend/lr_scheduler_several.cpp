// Schedules made of other schedulers: one after another, or all at once.
#include <algorithm>
#include <string>
#include <utility>

#include "weft/lr_scheduler.h"

namespace weft::optim::lr_scheduler {
namespace {

/// All are there, are of one optimiser and step without a metric; the first of them.
LRScheduler& first_of(const char* what, const Schedulers& schedulers, const Optimizer* optimizer,
                      SourceLocation where) {
  const std::string who = std::string(what) + ": ";
  if (schedulers.empty()) throw Error(who + "there are no schedulers", where);
  for (std::size_t i = 0; i < schedulers.size(); ++i) {
    const std::string which = who + "scheduler " + std::to_string(i);
    if (!schedulers[i]) throw Error(which + " is null", where);
    if (!optimizer) optimizer = &schedulers[i]->optimizer();
    if (&schedulers[i]->optimizer() != optimizer)
      throw Error(which + " is of another optimiser", where);
    if (schedulers[i]->needs_metric())
      throw Error(which + " needs a metric, which step() has none of", where);
  }
  return *schedulers.front();
}

}  // namespace

void SchedulerOfSeveral::undo() {
  LRScheduler::undo();
  for (const auto& scheduler : schedulers_) scheduler->undo();
}
void SchedulerOfSeveral::fields(const std::string& prefix, Fields& into) {
  LRScheduler::fields(prefix, into);
  for (std::size_t i = 0; i < schedulers_.size(); ++i)
    schedulers_[i]->fields(prefix + "_schedulers." + std::to_string(i) + ".", into);
}

SequentialLR::SequentialLR(Optimizer& optimizer, Schedulers schedulers,
                           std::vector<std::int64_t> milestones, std::int64_t last_epoch,
                           Where where)
    : SchedulerOfSeveral(optimizer, std::move(schedulers), last_epoch, where),
      milestones_(std::move(milestones)) {
  (void)first_of("SequentialLR", schedulers_, &optimizer, where);
  if (milestones_.size() + 1 != schedulers_.size())
    throw Error("SequentialLR: " + std::to_string(schedulers_.size()) +
                    " schedulers need one milestone fewer, received " +
                    std::to_string(milestones_.size()),
                where);
  for (std::size_t g = 0; g < base_lrs_.size(); ++g) optimizer.set_learning_rate(g, base_lrs_[g]);
  undo();  // each made its first step when it was made: the first one's alone stands
  last_epoch_ = last_epoch + 1;
  schedulers_.front()->start(where);
  last_lr_ = schedulers_.front()->get_last_lr();
}
void SequentialLR::step(Where where) {
  const auto begun = std::ranges::upper_bound(milestones_, last_epoch_ + 1);
  LRScheduler& current = *schedulers_[static_cast<std::size_t>(begun - milestones_.begin())];
  const bool begins = begun != milestones_.begin() && *(begun - 1) == last_epoch_ + 1;
  if (begins)
    current.restart(where);
  else
    current.step(where);
  ++last_epoch_;
  last_lr_ = current.get_last_lr();
}
void SequentialLR::rewind(Where where) {
  last_epoch_ = 0;
  schedulers_.front()->rewind(where);
  last_lr_ = schedulers_.front()->get_last_lr();
}

ChainedScheduler::ChainedScheduler(Schedulers schedulers, Where where)
    // Braces: they are looked at before they are moved.
    : SchedulerOfSeveral{first_of("ChainedScheduler", schedulers, nullptr, where).optimizer_,
                         std::move(schedulers), -1, where} {
  go_to(0, where);
}
void ChainedScheduler::step(Where where) {
  for (const auto& scheduler : schedulers_) scheduler->step(where);
  go_to(last_epoch_ + 1, where);
}
void ChainedScheduler::rewind(Where where) {
  for (const auto& scheduler : schedulers_) scheduler->rewind(where);
  go_to(0, where);
}

}  // namespace weft::optim::lr_scheduler
