// SPDX-License-Identifier: Apache-2.0
#include "plan/plan_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/error.h"
#include "models/shapes.h"
#include "plan/plan_text.h"
#include "plan/run_plan.h"

namespace ocoee::plan {
namespace {

Planned planned(const char* name, int64_t batch) {
  const models::NamedShape& shape = models::named_shape(name);
  Planned p;
  p.workload.name = name;
  p.workload.model = models::build_gpt(shape.config, shape.vocabulary);
  p.workload.sequence = shape.config.context;
  p.workload.global_batch = batch;
  return p;
}

TEST(PlanFile, HoldsProposalsReasonsCurvesAndTheScheduleOfTheFirst) {
  Predictor predictor(planned("22b", 640).workload, system_named("ocoee"),
                      load_machine("frontier"));
  PlanRequest request;
  request.search.devices = 64;
  request.search.top = 3;
  request.tokens = 1e12;
  request.own = Configuration{};
  request.own->tensor = 8;
  request.own->data = 8;
  const nlohmann::json plan = make_plan(predictor, request).json;
  ASSERT_EQ(plan.at("proposals").size(), 3u);
  for (const nlohmann::json& p : plan.at("proposals")) {
    EXPECT_GE(p.at("why").size(), 3u);
    EXPECT_GT(p.at("mfu").get<double>(), 0.05);
    EXPECT_LE(p.at("mfu").get<double>(), p.at("hfu").get<double>());
    EXPECT_LT(p.at("hfu").get<double>(), 1);
  }
  EXPECT_EQ(plan.at("own").at("layout").at("tensor"), 8);
  EXPECT_GE(plan.at("what_if").size(), 7u);
  EXPECT_GT(plan.at("effort").at("node_hours").get<double>(), 0);
  EXPECT_NEAR(plan.at("effort").at("device_hours").get<double>() /
                  plan.at("effort").at("node_hours").get<double>(),
              8, 1e-9);
  const std::string text = plan_text(plan);
  EXPECT_NE(text.find("recipe"), std::string::npos);
  EXPECT_NE(text.find("node-hours"), std::string::npos);
}

TEST(PlanFile, SaysWhyTheRecipesOwnLayoutCannotBe) {
  Predictor predictor(planned("22b", 640).workload, system_named("ocoee"),
                      load_machine("frontier"));
  PlanRequest request;
  request.search.devices = 64, request.search.top = 1;
  request.own = Configuration{};
  request.own->data = 64, request.own->micro = 3;
  const nlohmann::json plan = make_plan(predictor, request).json;
  EXPECT_FALSE(plan.contains("own"));
  EXPECT_EQ(plan.at("own_problem"), "data 64 x micro 3 do not divide a batch of 640");
  EXPECT_NE(plan_text(plan).find("its own layout cannot be on 64 devices: data 64 x micro 3"),
            std::string::npos);
  request.own.reset();
  request.own_problem = "its ranks do not divide";
  EXPECT_EQ(make_plan(predictor, request).json.at("own_problem"), request.own_problem);
}

// What is told of stages and kinds of layers is what the plan counts.
TEST(PlanFile, StagesAndKindsOfLayersAddUp) {
  struct Case {
    Recompute recompute;
    ScheduleKind schedule;
    bool offload;
    const char* kind;  // that holds the most of the first stage
  };
  for (const Case& one :
       {Case{Recompute::none, ScheduleKind::one_f_one_b, false, "mlp"},
        Case{Recompute::selective, ScheduleKind::zero_bubble, false, ""},
        Case{Recompute::full, ScheduleKind::one_f_one_b, false, "inputs of blocks"},
        Case{Recompute::none, ScheduleKind::one_f_one_b, true, "mlp"}}) {
    Predictor predictor(planned("22b", 640).workload, system_named("ocoee"),
                        load_machine("frontier"));
    Configuration c;
    c.tensor = 2, c.pipeline = 8, c.data = 4, c.micro = 2;
    c.recompute = one.recompute, c.schedule = one.schedule, c.offload = one.offload;
    ASSERT_EQ(predictor.problem(c), "");
    const Prediction p = predictor.predict(c);
    const std::vector<StageMemory> stages = predictor.stage_memory(c);
    ASSERT_EQ(stages.size(), 8u);
    double most = 0;
    for (const StageMemory& stage : stages) {
      double activations = 0, largest = 0;
      std::string kind;
      for (const auto& [name, bytes] : stage.activations) {
        activations += bytes;
        if (bytes > largest) largest = bytes, kind = name;
      }
      const double told = stage.bytes[static_cast<size_t>(Held::activations)];
      EXPECT_NEAR(activations, told, 1e-9 * told);
      if (*one.kind && &stage == &stages.front()) {  // the last one also has the head's
        EXPECT_EQ(kind, one.kind);
      }
      most = std::max(most, std::accumulate(stage.bytes.begin(), stage.bytes.end(), 0.0));
    }
    EXPECT_EQ(most, p.total_bytes);
    EXPECT_EQ(stages[static_cast<size_t>(p.fullest)].bytes, p.bytes);
    if (one.schedule == ScheduleKind::one_f_one_b) {
      for (int64_t s = 0; s < 8; ++s) EXPECT_EQ(stages[static_cast<size_t>(s)].in_flight, 8 - s);
      EXPECT_FALSE(stages[7].activations.contains("weight work put off"));
    } else {
      EXPECT_GT(stages[7].activations.at("weight work put off"), 0);
    }
  }
}

TEST(PlanFile, ReadingOfSamplesIsSaidBesideTheStep) {
  Machine machine = load_machine("frontier");
  machine.hdf5_read = BytesPerSecond(1e9);
  PlanRequest request;
  request.search.devices = 64, request.search.top = 1;
  request.tokens = 1e12;
  nlohmann::json first, effort;
  const auto checkpoint = [&] {
    Predictor predictor(planned("22b", 640).workload, system_named("ocoee"), machine);
    const nlohmann::json plan = make_plan(predictor, request).json;
    first = plan.at("proposals").at(0);
    effort = plan.at("effort");
    return plan.at("checkpoint");
  };
  const nlohmann::json quick = checkpoint();
  EXPECT_EQ(first.at("parts").at("loading").get<double>(), 0);
  const double step = first.at("seconds");
  const double steps = 1e12 / (640 * 2048), seconds = steps * step;
  EXPECT_NEAR(effort.at("checkpoint_hours").get<double>(),
              std::floor(seconds / 1800) * quick.at("write_seconds").get<double>() / 3600, 1e-6);
  // 4 bytes a token; 8 nodes read
  EXPECT_NEAR(quick.at("samples_hdf5_seconds").get<double>(), 4.0 * 640 * 2048 / 8e9, 1e-12);
  EXPECT_NE(quick.at("words").get<std::string>().find("from HDF5), while the step"),
            std::string::npos);
  machine.read = BytesPerSecond(1000);
  const nlohmann::json slow = checkpoint();
  EXPECT_NE(slow.at("words").get<std::string>().find("longer than a step"), std::string::npos);
  // Then the step is as long as the reading.
  const double reading = slow.at("samples_seconds"), waited = first.at("parts").at("loading");
  EXPECT_NEAR(first.at("seconds").get<double>(), reading, 1e-9 * reading);
  EXPECT_GT(waited, 0.9 * (reading - step));
}

TEST(PlanFile, Float8IsInTheHeadingAndWhatIsNotKnownOfItBeside) {
  Workload w = planned("gpt2-124m", 8).workload;
  EXPECT_EQ(type_words(w), "bfloat16");
  EXPECT_EQ(float8_note(w, load_machine("a100")), "");
  w.float8 = true;
  Predictor predictor(w, system_named("ocoee"), load_machine("a100"));
  PlanRequest request;
  request.search.devices = 1;
  const std::string text = plan_text(make_plan(predictor, request).json);
  EXPECT_NE(text.find("bfloat16, products in float8\n"), std::string::npos) << text;
  EXPECT_NE(text.find("does not say how quick products in float8 are"), std::string::npos) << text;
  EXPECT_EQ(float8_note(w, load_machine("h200")), "");
}

TEST(PlanFile, PeaksThatAreTakenAsReachedAreNamed) {
  Machine machine = load_machine("a100");
  machine.device.product = {};
  Predictor predictor(planned("gpt2-124m", 8).workload, system_named("ocoee"), machine);
  PlanRequest request;
  request.search.devices = 1;
  const std::string text = plan_text(make_plan(predictor, request).json);
  EXPECT_NE(text.find("leaves out device.product_share: "), std::string::npos) << text;
  EXPECT_EQ(ideal_note(load_machine("a100"), 64), "");
}

TEST(PlanFile, MemoryThatDoesNotFitIsTold) {
  constexpr double kGiB = 1024.0 * 1024 * 1024;
  EXPECT_EQ(memory_words(60 * kGiB, 60 * kGiB), "60.00 GiB of 60.00 GiB a device");
  EXPECT_EQ(memory_words(85.5 * kGiB, 60 * kGiB),
            "85.50 GiB of 60.00 GiB a device: does not fit, 25.50 GiB too much");
}

TEST(PlanFile, WordsSayWhatATensorGroupCosts) {
  Predictor predictor(planned("22b", 640).workload, system_named("ocoee"),
                      load_machine("frontier"));
  Configuration c;
  c.tensor = 16;
  c.data = 4;
  std::string all;
  for (const std::string& sentence : explain(predictor, c)) all += sentence + "\n";
  EXPECT_NE(all.find("tensor 16 crosses nodes: "), std::string::npos) << all;
  EXPECT_NE(all.find("of the step is exposed communication"), std::string::npos);
  EXPECT_NE(all.find("Instead, all else the same: tensor 8"), std::string::npos) << all;
}

TEST(PlanFile, OneDeviceHasNoOtherSplit) {
  Predictor predictor(planned("gpt2-124m", 8).workload, system_named("ocoee"),
                      load_machine("h200"));
  Configuration c;
  c.micro = 8;
  for (const std::string& sentence : explain(predictor, c))
    EXPECT_EQ(sentence.find("Instead"), std::string::npos) << sentence;
}

TEST(RunPlan, MemoryIsToldWithoutAMachineAndTimeWithOne) {
  Planned p = planned("gpt2-124m", 8);
  p.workload.compute = "float32";
  p.layout = Configuration{};
  nlohmann::json out = {{"lines", nlohmann::json::array()}};
  predict_run(p, "", 10, out);
  EXPECT_EQ(out.at("lines").size(), 1u);
  const auto parameters = static_cast<double>(p.workload.model.parameters());
  EXPECT_EQ(out.at("memory_bytes").at("optimizer").get<double>(), 8 * parameters);
  EXPECT_EQ(out.at("memory_bytes").at("gradients").get<double>(), 4 * parameters);
  EXPECT_FALSE(out.contains("predicted"));
  predict_run(p, "h200", 10, out);
  EXPECT_GT(out.at("predicted").at("seconds").get<double>(), 0);
  EXPECT_NE(out.at("lines").back().get<std::string>().find("H200"), std::string::npos);
}

}  // namespace
}  // namespace ocoee::plan
