// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "comm/world.h"
#include "core/error.h"

namespace ocoee::comm {
namespace {

// An environment with these variables, and none of the launchers' others.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& variables) {
    for (const char* name : kNames) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      ::unsetenv(name);
    }
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const char* name : kNames) ::unsetenv(name);
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  static constexpr const char* kNames[] = {"OMPI_COMM_WORLD_RANK",
                                           "OMPI_COMM_WORLD_SIZE",
                                           "PMI_RANK",
                                           "PMI_SIZE",
                                           "PMIX_RANK",
                                           "PALS_RANKID",
                                           "SLURM_STEP_ID",
                                           "SLURM_PROCID",
                                           "SLURM_NTASKS",
                                           "SLURM_STEP_NUM_TASKS",
                                           "RANK",
                                           "WORLD_SIZE",
                                           "MASTER_ADDR",
                                           "TORCHELASTIC_RUN_ID"};
  std::map<std::string, std::string> before_;
};

void expect(const std::map<std::string, std::string>& variables, Launcher launcher, int rank,
            int size) {
  const Environment environment(variables);
  EXPECT_EQ(detect_launcher(), launcher) << name_of(detect_launcher());
  EXPECT_EQ(launched_rank(), rank);
  EXPECT_EQ(launched_size(), size);
}

TEST(Launcher, IsFoundFromTheEnvironment) {
  expect({}, Launcher::none, 0, 1);
  expect({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}, Launcher::mpirun, 3, 4);
  expect({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}, Launcher::mpirun, 1, 2);
  expect({{"SLURM_STEP_ID", "0"},
          {"SLURM_PROCID", "5"},
          {"SLURM_NTASKS", "8"},
          {"SLURM_STEP_NUM_TASKS", "6"},
          {"PMI_RANK", "5"}},
         Launcher::srun, 5, 6);
  expect({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "localhost"}}, Launcher::torchrun, 1,
         2);
}

TEST(Launcher, MpirunInsideASlurmJobIsMpirun) {
  expect({{"SLURM_STEP_ID", "1"},
          {"SLURM_PROCID", "0"},
          {"SLURM_NTASKS", "2"},
          {"OMPI_COMM_WORLD_RANK", "7"},
          {"OMPI_COMM_WORLD_SIZE", "8"}},
         Launcher::mpirun, 7, 8);
}

TEST(Launcher, AJobScriptItselfWasStartedByNobody) {
  expect({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}, Launcher::none, 0, 1);
}

TEST(World, UnderTorchrunIsAClearError) {
  const Environment environment({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "localhost"}});
  try {
    const World world = World::start();
    FAIL() << "started under torchrun";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_NE(std::string(error.what()).find("mpirun -n 2"), std::string::npos) << error.what();
  }
}

TEST(World, StartedByNobodyIsAWorldOfOne) {
  const Environment environment({});
  World world = World::start();
  EXPECT_EQ(world.size(), 1);
  EXPECT_EQ(world.rank(), 0);
  EXPECT_EQ(world.local_size(), 1);
  EXPECT_EQ(world.hosts().size(), 1u);
}

}  // namespace
}  // namespace ocoee::comm
