// SPDX-License-Identifier: Apache-2.0
// The optimizers against torch.optim's own numbers (golden/make_golden.py).
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "optim/flat_model.h"

namespace ocoee::optim::test {
namespace {

constexpr int kSizes[] = {7, 5};
constexpr int kCount = 12;

std::vector<double> start() {
  std::vector<double> values;
  for (int i = 0; i < kCount; ++i) values.push_back(std::sin(1.0 + 0.7 * i));
  return values;
}
std::vector<double> gradient(int step) {
  std::vector<double> values;
  for (int i = 0; i < kCount; ++i)
    values.push_back((1.0 + step) * std::cos(0.3 * i * (step + 1)) / 4);
  return values;
}

TEST(Optimizer, GivesTorchsNumbers) {
  std::ifstream file(OCOEE_SOURCE_DIR "/tests/optim/golden/optimizer_golden.txt");
  ASSERT_TRUE(file.good());
  std::string word, name, type;
  int cases = 0, steps = 0;
  file >> word;
  while (word == "CASE") {
    OptimizerConfig config;
    file >> name >> type >> config.weight_decay >> config.clip;
    SCOPED_TRACE(name + " " + type);
    const DType dtype = dtype_from_name(type);
    config.name = name.substr(0, name.find('_'));
    config.schedule = "constant";
    OptimizerSetup setup = setup_for(config, dtype, kCount);
    setup.decaying = {{0, kSizes[0]}};
    ++cases;
    FlatModel model(dtype, start(), config.name == "adamw" ? 2 : 1);
    const auto optimizer = make_optimizer(setup);
    StepReport report;
    for (int step = 0; file >> word && word == "STEP"; ++step, ++steps) {
      std::string rate, norm, number;
      file >> rate >> norm;
      optimizer->set_learning_rate(std::stod(rate), test_stream());
      model.set_gradient(gradient(step));
      whole_step(*optimizer, model.whole());
      report = optimizer->read(test_stream());
      const double close = dtype == DType::f64 ? 1e-14 : 3e-7;
      EXPECT_NEAR(report.gradient_norm / std::strtod(norm.c_str(), nullptr), 1, close);
      const auto got = model.master.read();
      for (int i = 0; i < kCount; ++i) {
        file >> number;
        EXPECT_NEAR(got[static_cast<size_t>(i)], std::strtod(number.c_str(), nullptr), close)
            << "step " << step << " element " << i;
      }
    }
    EXPECT_EQ(6, report.updates);
  }
  EXPECT_EQ(6, cases);
  EXPECT_EQ(36, steps);
}

}  // namespace
}  // namespace ocoee::optim::test
