// Schedules against sequences of PyTorch's documentation, and against closed forms worked out in
// Python.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;
using namespace weft::optim;
using namespace weft::optim::lr_scheduler;

namespace {

struct Rig {
  Tensor w = Tensor(Array{1.0}, {.requires_grad = true, .name = "w"});
  SGD sgd;
  explicit Rig(double lr, double momentum = 0) : sgd({w}, {.lr = lr, .momentum = momentum}) {}
};

/// The rates of the first epochs; the optimiser has what the scheduler says it has.
template <class Scheduler> void check(Rig& rig, Scheduler& s, const std::vector<double>& expected) {
  for (std::size_t epoch = 0; epoch < expected.size(); ++epoch) {
    CAPTURE(epoch);
    CHECK(s.last_epoch() == static_cast<std::int64_t>(epoch));
    CHECK(rig.sgd.learning_rate() == doctest::Approx(expected[epoch]).epsilon(1e-10));
    CHECK(s.get_last_lr() == std::vector<double>{rig.sgd.learning_rate()});
    if (epoch + 1 < expected.size()) s.step();
  }
}

std::string here(int line) { return " (lr_scheduler_test.cpp:" + std::to_string(line) + ")"; }

}  // namespace

TEST_CASE("Schedules: steps, powers and cosines") {
  {
    Rig rig(0.05);
    StepLR s(rig.sgd, 3, 0.1);
    check(rig, s, {0.05, 0.05, 0.05, 0.005, 0.005, 0.005, 0.0005});
  }
  {
    Rig rig(0.05);
    MultiStepLR s(rig.sgd, {2, 4, 4});
    check(rig, s, {0.05, 0.05, 0.005, 0.005, 0.00005, 0.00005});
  }
  {
    Rig rig(1);
    ExponentialLR s(rig.sgd, 0.9);
    check(rig, s, {1, 0.9, 0.81, 0.729});
  }
  {
    Rig rig(0.05);
    ConstantLR s(rig.sgd, 0.5, 4);
    check(rig, s, {0.025, 0.025, 0.025, 0.025, 0.05, 0.05});
  }
  {
    Rig rig(0.05);
    ConstantLR s(rig.sgd, 0, 2);
    check(rig, s, {0, 0, 0.05, 0.05});
  }
  {
    Rig rig(0.05);
    LinearLR s(rig.sgd, 0.5, 1, 4);
    check(rig, s, {0.025, 0.03125, 0.0375, 0.04375, 0.05, 0.05});
  }
  {
    Rig rig(0.3);
    LinearLR s(rig.sgd);
    check(rig, s, {0.1, 0.14, 0.18, 0.22, 0.26, 0.3, 0.3});
  }
  {
    Rig rig(0.001);
    PolynomialLR s(rig.sgd, 4);
    check(rig, s, {0.001, 0.00075, 0.0005, 0.00025, 0, 0});
  }
  {
    Rig rig(0.1);
    PolynomialLR s(rig.sgd, 4, 2);
    check(rig, s, {0.1, 0.05625, 0.025, 0.00625, 0, 0});
  }
  {
    Rig rig(0.1);
    CosineAnnealingLR s(rig.sgd, 4, 0.01);
    check(rig, s,
          {0.1, 0.0868198051534, 0.055, 0.0231801948466, 0.01, 0.0231801948466, 0.055,
           0.0868198051534, 0.1, 0.0868198051534});
  }
  {
    Rig rig(0.1);
    CosineAnnealingWarmRestarts s(rig.sgd, 2, 2, 0.01);
    check(rig, s, {0.1, 0.055, 0.1, 0.0868198051534, 0.055, 0.0231801948466, 0.1, 0.096574578963});
    const std::vector<double> halves{0.1, 0.0868198051534, 0.055,           0.0231801948466,
                                     0.1, 0.096574578963,  0.0868198051534, 0.0722207544564};
    for (std::size_t i = 0; i < halves.size(); ++i) {
      s.step(static_cast<double>(i) / 2);
      CHECK(rig.sgd.learning_rate() == doctest::Approx(halves[i]).epsilon(1e-10));
      CHECK(s.last_epoch() == static_cast<std::int64_t>(i / 2));
    }
  }
  {
    Rig rig(2);
    LambdaLR s(rig.sgd, [](std::int64_t epoch) { return 1.0 / static_cast<double>(epoch + 1); });
    check(rig, s, {2, 1, 2.0 / 3, 0.5});
  }
  {
    Rig rig(2);
    MultiplicativeLR s(rig.sgd, [](std::int64_t epoch) { return epoch == 2 ? 0.5 : 0.9; });
    check(rig, s, {2, 1.8, 0.9, 0.81});
  }
}

TEST_CASE("Schedules: cycles move momentum too") {
  {
    Rig rig(1, 0.9);
    OneCycleLR s(rig.sgd, {.max_lr = 0.1, .total_steps = 10});
    const std::vector<double> momenta{0.95,           0.9,
                                      0.85,           0.854951556605,
                                      0.868825509907, 0.888873953302,
                                      0.911126046698, 0.931174490093,
                                      0.945048443395, 0.95};
    const std::vector<double> rates{0.004,
                                    0.052,
                                    0.1,
                                    0.0950484632013,
                                    0.081174565395,
                                    0.0611262021936,
                                    0.0388741978064,
                                    0.018825834605,
                                    0.00495193679865,
                                    4e-07};
    for (std::size_t i = 0; i < rates.size(); ++i) {
      CHECK(rig.sgd.learning_rate() == doctest::Approx(rates[i]).epsilon(1e-9));
      CHECK(rig.sgd.param_groups()[0].momentum().value() ==
            doctest::Approx(momenta[i]).epsilon(1e-10));
      s.step();
    }
    const std::string said = message<Error>([&] { s.step(); });
    CHECK(said == "OneCycleLR: step 11 of a cycle of 10" + here(__LINE__ - 1));
    CHECK(s.last_epoch() == 10);
  }
  {
    Rig rig(1);
    OneCycleLR s(rig.sgd, {.max_lr = 1.0,
                           .epochs = 2,
                           .steps_per_epoch = 4,
                           .pct_start = 0.5,
                           .anneal_strategy = Anneal::linear,
                           .cycle_momentum = false,
                           .div_factor = 10,
                           .final_div_factor = 10,
                           .three_phase = true});
    check(rig, s, {0.1, 0.4, 0.7, 1, 0.7, 0.4, 0.1, 0.01});
    CHECK(s.base_lrs() == std::vector<double>{0.1});
  }
  for (const double pct_start : {0.25, 1.0}) {  // a phase has no length
    Rig rig(1);
    OneCycleLR s(rig.sgd, {.max_lr = 1.0,
                           .total_steps = 4,
                           .pct_start = pct_start,
                           .anneal_strategy = Anneal::linear,
                           .cycle_momentum = false,
                           .div_factor = 10,
                           .final_div_factor = 10});
    if (pct_start < 1)
      check(rig, s, {1, 0.67, 0.34, 0.01});
    else
      check(rig, s, {0.1, 0.4, 0.7, 1, 0.01});
  }
  {
    Rig rig(1);
    CyclicLR s(rig.sgd, {.base_lr = 0.1, .max_lr = 0.5, .step_size_up = 2});
    CHECK(rig.sgd.param_groups()[0].momentum().value() == doctest::Approx(0.9));
    check(rig, s, {0.1, 0.3, 0.5, 0.3, 0.1, 0.3, 0.5});
    CHECK(rig.sgd.param_groups()[0].momentum().value() == doctest::Approx(0.8));
  }
  {
    Rig rig(1);
    CyclicLR s(rig.sgd, {.base_lr = 0.1,
                         .max_lr = 0.5,
                         .step_size_up = 2,
                         .step_size_down = 1,
                         .mode = Cycle::triangular2,
                         .cycle_momentum = false});
    check(rig, s, {0.1, 0.3, 0.5, 0.1, 0.2, 0.3, 0.1, 0.15, 0.2});
  }
  {
    Rig rig(1);
    CyclicLR s(rig.sgd, {.base_lr = 0.1,
                         .max_lr = 0.5,
                         .step_size_up = 2,
                         .mode = Cycle::exp_range,
                         .gamma = 0.9,
                         .cycle_momentum = false});
    check(rig, s, {0.1, 0.28, 0.424, 0.2458, 0.1, 0.218098, 0.3125764});
  }
}

TEST_CASE("Schedules: to the rate of an average") {
  {
    Rig rig(0.5);
    SWALR s(rig.sgd, 0.1, 4, Anneal::linear);
    check(rig, s, {0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1});
  }
  {
    Rig rig(0.5);
    SWALR s(rig.sgd, 0.1, 4);
    check(rig, s, {0.5, 0.441421356237, 0.3, 0.158578643763, 0.1, 0.1});
  }
  {
    Rig rig(0.5);
    SWALR s(rig.sgd, 0.1, 0);
    check(rig, s, {0.1, 0.1, 0.1});
  }
  {  // it goes on from the rate that there is: (0.25 - 0.1 / 4) / (3 / 4) was the first one
    Rig rig(0.5);
    SWALR s(rig.sgd, 0.1, 4, Anneal::linear);
    s.step();
    rig.sgd.set_learning_rate(0.25);
    s.step();
    CHECK(rig.sgd.learning_rate() == doctest::Approx(0.2).epsilon(1e-12));
    const NamedArrays saved = s.state_dict();
    Rig other(0.5);
    SWALR resumed(other.sgd, 0.1, 4, Anneal::linear);
    other.sgd.set_learning_rate(0.2);
    resumed.load_state_dict(saved);
    for (const double rate : {0.15, 0.1, 0.1}) {
      resumed.step();
      CHECK(other.sgd.learning_rate() == doctest::Approx(rate).epsilon(1e-12));
    }
  }
}

TEST_CASE("Schedules: momentum that is cycled is a variable of compiled steps") {
  const auto run = [](bool compiled) {
    Rig rig(0.1);
    CyclicLR s(rig.sgd, {.base_lr = 0.1, .max_lr = 0.1, .step_size_up = 2, .base_momentum = 0.5});
    const Function step({}, std::vector<Tensor>{}, {.updates = rig.sgd.updates(rig.w * rig.w)});
    for (int i = 0; i < 4; ++i, s.step()) {
      if (compiled) {
        step();
        continue;
      }
      rig.sgd.zero_grad();
      (rig.w * rig.w).backward(Array{1.0});
      rig.sgd.step();
    }
    if (compiled) CHECK(step.stats().compilations == 1);
    return rig.w.item<double>();
  };
  double w = 1, b = 0;
  for (const double momentum : {0.9, 0.7, 0.5, 0.7}) {
    b = momentum * b + 2 * w;
    w -= 0.1 * b;
  }
  CHECK(w == doctest::Approx(0.025));
  CHECK(run(true) == doctest::Approx(w).epsilon(1e-12));
  CHECK(run(false) == doctest::Approx(w).epsilon(1e-12));

  Rig late(0.1, 0.9);
  (void)late.sgd.updates(late.w * late.w);
  CHECK(contains(message<Error>([&] { CyclicLR(late.sgd, {.base_lr = 0.1, .max_lr = 0.5}); }),
                 "momentum is a constant"));
  CHECK(late.sgd.learning_rate() == 0.1);
  Tensor p(Array{1.0}, {.requires_grad = true});
  Adagrad without({p});
  const std::string said =
      message<Error>([&] { OneCycleLR(without, {.max_lr = 1.0, .total_steps = 4}); });
  CHECK(contains(said, "must have momentum or beta1"));
}

TEST_CASE("Schedules: on a plateau the rate falls") {
  Rig rig(1);
  ReduceLROnPlateau s(rig.sgd, {.factor = 0.5, .patience = 1, .cooldown = 1, .min_lr = 0.2});
  const std::vector<std::pair<double, double>> losses{
      {10, 1},  {9, 1},    {9, 1},    {9, 0.5},  // a second bad epoch
      {9, 0.5},                                  // cools down
      {9, 0.5}, {9, 0.25}, {9, 0.25}, {8, 0.25}, {7.9999, 0.25}, {std::nan(""), 0.2}};
  for (const auto& [loss, rate] : losses) {
    CAPTURE(s.last_epoch());
    s.step(loss);
    CHECK(rig.sgd.learning_rate() == doctest::Approx(rate));
  }
  CHECK(s.last_epoch() == 11);
  const std::string said = message<Error>([&] { s.step(); });
  CHECK(contains(said, "step needs the metric"));
  CHECK(said.ends_with(here(__LINE__ - 2)));

  Rig other(1);
  ReduceLROnPlateau up(
      other.sgd,
      {.mode = Mode::max, .patience = 0, .threshold = 0.5, .threshold_mode = Threshold::abs});
  for (const double score : {0.1, 0.7, 1.1}) up.step(score);
  CHECK(other.sgd.learning_rate() == doctest::Approx(0.1));  // 1.1 is no more than 0.5 better
  CHECK_THROWS_AS(ReduceLROnPlateau(other.sgd, {.factor = 1.0}), Error);
}

TEST_CASE("Schedules: one after another, and at once") {
  {
    Rig rig(1);
    const Schedulers parts{std::make_shared<ConstantLR>(rig.sgd, 0.1, 2),
                           std::make_shared<ExponentialLR>(rig.sgd, 0.9)};
    SequentialLR s(rig.sgd, parts, {2});
    check(rig, s, {0.1, 0.1, 1, 0.9, 0.81});
  }
  {
    Rig rig(1);
    const CyclicOptions cycle{
        .base_lr = 0.1, .max_lr = 0.5, .step_size_up = 2, .cycle_momentum = false};
    const Schedulers parts{std::make_shared<CyclicLR>(rig.sgd, cycle),
                           std::make_shared<ExponentialLR>(rig.sgd, 0.5)};
    SequentialLR s(rig.sgd, parts, {3});  // the first sets what the others begin with
    check(rig, s, {0.1, 0.3, 0.5, 0.1, 0.05});
  }
  {
    Rig rig(1);
    const Schedulers parts{std::make_shared<LinearLR>(rig.sgd, 0.25, 1, 3),
                           std::make_shared<CosineAnnealingLR>(rig.sgd, 2),
                           std::make_shared<StepLR>(rig.sgd, 1, 0.5)};
    SequentialLR s(rig.sgd, parts, {3, 5});
    check(rig, s, {0.25, 0.5, 0.75, 1, 0.5, 1, 0.5, 0.25});
  }
  {
    Rig rig(1);
    ChainedScheduler s({std::make_shared<ConstantLR>(rig.sgd, 0.1, 2),
                        std::make_shared<ExponentialLR>(rig.sgd, 0.9)});
    check(rig, s, {0.1, 0.09, 0.81, 0.729});
  }
  {
    Rig rig(1);
    const auto begin = std::make_shared<StepLR>(rig.sgd, 1, 0.5);
    const auto both = std::make_shared<ChainedScheduler>(Schedulers{
        std::make_shared<ConstantLR>(rig.sgd, 0.1, 2),
        std::make_shared<ExponentialLR>(rig.sgd, 0.9),
        std::make_shared<SequentialLR>(rig.sgd,
                                       Schedulers{std::make_shared<ConstantLR>(rig.sgd, 0.5, 9),
                                                  std::make_shared<StepLR>(rig.sgd, 1)},
                                       std::vector<std::int64_t>{8})});
    SequentialLR s(rig.sgd, {begin, both}, {3});
    check(rig, s, {1, 0.5, 0.25, 0.05, 0.045, 0.405, 0.3645});
  }
  Rig rig(1), other(1);
  const auto step = std::make_shared<StepLR>(rig.sgd, 1);
  CHECK_THROWS_AS(SequentialLR(rig.sgd, {step}, {1}), Error);
  CHECK_THROWS_AS(SequentialLR(other.sgd, {step}, {}), Error);
  CHECK_THROWS_AS(ChainedScheduler({step, nullptr}), Error);
  CHECK_THROWS_AS(ChainedScheduler({}), Error);
  CHECK_THROWS_AS(ChainedScheduler({std::make_shared<ReduceLROnPlateau>(rig.sgd)}), Error);
}

TEST_CASE("Schedules: what was saved goes on") {
  const auto make = [](Rig& rig) {
    return std::make_unique<SequentialLR>(
        rig.sgd,
        Schedulers{std::make_shared<LinearLR>(rig.sgd, 0.5, 1, 2),
                   std::make_shared<CosineAnnealingWarmRestarts>(rig.sgd, 2, 2)},
        std::vector<std::int64_t>{2});
  };
  Rig whole(1), half(1), rest(1);
  const auto one = make(whole), before = make(half), after = make(rest);
  for (int i = 0; i < 3; ++i) before->step();
  rest.sgd.load_state_dict(half.sgd.state_dict());
  after->load_state_dict(before->state_dict());
  for (int i = 0; i < 3; ++i) one->step();
  for (int i = 0; i < 6; ++i) {
    CHECK(rest.sgd.learning_rate() == whole.sgd.learning_rate());
    CHECK(after->get_last_lr() == one->get_last_lr());
    CHECK(after->last_epoch() == one->last_epoch());
    one->step();
    after->step();
  }
  NamedArrays saved = before->state_dict();
  saved.erase("_schedulers.1.T_cur");
  const std::string said = message<Error>([&] { after->load_state_dict(saved); });
  CHECK(said == "load_state_dict: there is no '_schedulers.1.T_cur'" + here(__LINE__ - 1));
  CHECK(after->last_epoch() == 9);

  // last_epoch: as a fresh scheduler on an optimiser whose state was loaded.
  Rig begun(0.8), resumed(0.8);
  const std::string unknown = message<Error>([&] { StepLR(resumed.sgd, 2, 0.5, 1); });
  CHECK(contains(unknown, "initial_lr of group 0 is not known"));
  StepLR first(begun.sgd, 2, 0.5);
  first.step();  // epoch 1
  resumed.sgd.load_state_dict(begun.sgd.state_dict());
  StepLR second(resumed.sgd, 2, 0.5, 1);
  CHECK(second.last_epoch() == 2);
  CHECK(second.get_last_lr() == std::vector<double>{0.4});
  CosineAnnealingLR third(resumed.sgd, 4, 0, 1);
  CHECK(third.get_last_lr()[0] == doctest::Approx(0.4));
  CosineAnnealingWarmRestarts restarts(resumed.sgd, 2, 2, 0, 5), unbroken(begun.sgd, 2, 2);
  for (int i = 0; i < 6; ++i) unbroken.step();  // epoch 6 is the first of eight
  for (int i = 0; i < 3; ++i) {
    CHECK(restarts.last_epoch() == unbroken.last_epoch());
    CHECK(restarts.get_last_lr() == unbroken.get_last_lr());
    restarts.step();
    unbroken.step();
  }
}

TEST_CASE("Schedules: groups have their own rates") {
  Tensor a(Array{1.0}, {.requires_grad = true}), b(Array{1.0}, {.requires_grad = true});
  SGD sgd({{{a}, {.lr = 0.1}}, {{b}, {.lr = 0.4}}});
  ExponentialLR s(sgd, 0.5);
  s.step();
  CHECK(s.get_last_lr() == std::vector<double>{0.05, 0.2});
  CHECK(s.base_lrs() == std::vector<double>{0.1, 0.4});
  LambdaLR own(sgd, std::vector<Factor>{[](auto) { return 2.0; }, [](auto) { return 3.0; }});
  CHECK(own.get_last_lr()[1] == doctest::Approx(1.2));
  CyclicLR cycle(sgd, {.base_lr = {{0.1, 0.2}}, .max_lr = 1.0, .cycle_momentum = false});
  CHECK(cycle.get_last_lr() == std::vector<double>{0.1, 0.2});
  const auto refused = [](auto&& f, const char* part, int line) {
    const std::string said = message<Error>(f);
    CHECK(contains(said, part));
    CHECK(said.ends_with(here(line)));
  };
  refused([&] { LambdaLR(sgd, std::vector<Factor>(3)); }, "expected 2 functions", __LINE__);
  refused([&] { LambdaLR(sgd, Factor()); }, "empty function", __LINE__);
  refused([&] { StepLR(sgd, 0); }, "step_size must be positive", __LINE__);
  refused([&] { CosineAnnealingLR(sgd, 0); }, "T_max", __LINE__);
  refused([&] { CosineAnnealingWarmRestarts(sgd, 0); }, "T_0", __LINE__);
  refused([&] { ConstantLR(sgd, 1.5); }, "between 0 and 1", __LINE__);
  refused([&] { LinearLR(sgd, 0); }, "start_factor", __LINE__);
  refused([&] { OneCycleLR(sgd, {.max_lr = 1.0}); }, "total_steps", __LINE__);
  refused([&] { CyclicLR(sgd, {.base_lr = {{1, 2, 3}}}); }, "expected one value or 2", __LINE__);
  refused([&] { SWALR(sgd, {{1, 2, 3}}); }, "SWALR: swa_lr: expected one value or 2", __LINE__);
  refused([&] { SWALR(sgd, 0.1, -1); }, "anneal_epochs must be at least 0", __LINE__);
}

TEST_CASE("Schedules: a trainer steps its scheduler") {
  manual_seed(0);
  const data::Dataset set{randn({32, 2}), randint(0, 2, {32})};
  const auto cross = [](const Tensor& y, const Tensor& t) { return nn::cross_entropy(y, t); };
  nn::Linear model(2, 2);
  SGD sgd(model.parameters(), {.lr = 1});
  ExponentialLR scheduler(sgd, 0.5);
  data::TrainerOptions options{.epochs = 3, .batch_size = 8, .progress = false};
  options.scheduler = &scheduler;
  data::Trainer(model, sgd, cross, options).fit(set);
  CHECK(scheduler.last_epoch() == 3);
  CHECK(sgd.learning_rate() == 0.125);
  options.schedule_batches = true;
  data::Trainer batches(model, sgd, cross, options);
  batches.fit(set);
  CHECK(scheduler.last_epoch() == 3 + 12);
  CHECK(batches.step().stats().compilations == 1);
  ReduceLROnPlateau plateau(sgd);
  options.scheduler = &plateau;
  CHECK_THROWS_AS(data::Trainer(model, sgd, cross, options), Error);
  options.schedule_batches = false;
  data::Trainer(model, sgd, cross, options).fit(set);
  CHECK(plateau.last_epoch() == 3);
  options.schedule = [](double) { return 1.0; };
  CHECK_THROWS_AS(data::Trainer(model, sgd, cross, options), Error);
}
