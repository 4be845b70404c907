// SPDX-License-Identifier: Apache-2.0
// Energies of arrangements, by LAMMPS or from files, and the pair interactions and clusters that
// explain them. One quantum labels a block of structures and fits anew, so that the held-out error
// over steps is a learning curve; the last words are the choice of shells, every parameter with its
// error, and RUN/interactions.json, which the other alloy tasks read.
#pragma once

#include "run/task.h"
#include "science/alloy/features.h"
#include "science/atoms/formats.h"
#include "science/atoms/lammps.h"
#include "tasks/alloys/system_config.h"

namespace ocoee::tasks {

class AlloyFitConfig : public run::TaskConfig {
 public:
  LatticeConfig lattice;  // of the structures that are made; the sites of all
  struct DataSection {    // [data]
    std::vector<std::string> species;
    std::string energies = "lammps";
    int64_t random = 150, ordered = 100;
    std::vector<std::string> files, check_files;
    std::vector<double> edges;
    double test_fraction = 0.2;
    int64_t block = 50;
    std::string cache;
  } data;
  struct FitSection {  // [fit]
    std::string method = "evidence";
    double lambda = 1;
    int64_t shells = 0, max_shells = 6, triplets = 0, quadruplets = 0;
    int64_t folds = 5, learning_points = 6;
  } fit;
  atoms::LammpsConfig lammps;
  int64_t checkpoint_every = 1;

  void describe(config::Description& recipe) override;
  void check(config::Problems& problems, const run::RunConfig& run, int ranks) const override;
  comm::Shape mesh(int ranks) const override;
  nlohmann::json preview(const run::RunConfig& run, int ranks) const override;

  std::vector<atoms::Frame> frames_of(const std::string& file) const;
  alloy::FeatureSpace features() const;
  int64_t most_shells() const { return fit.shells > 0 ? fit.shells : fit.max_shells; }
  alloy::Shrinkage shrinkage() const;

 private:
  void check_volumes(config::Problems& problems) const;

  std::string name_;
};

std::unique_ptr<run::Task> build_alloy_fit(const run::TaskConfig& config, run::Context& context);

}  // namespace ocoee::tasks
