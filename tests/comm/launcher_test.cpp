// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

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
                                           "TORCHELASTIC_RUN_ID",
                                           "OMPI_COMM_WORLD_LOCAL_SIZE",
                                           "OMPI_ALLOW_RUN_AS_ROOT",
                                           "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                                           "OMPI_MCA_rmaps_base_oversubscribe"};
  std::map<std::string, std::string> before_;
};

void expect(const std::map<std::string, std::string>& variables, Launcher launcher, int rank,
            int size) {
  const Environment environment(variables);
  EXPECT_EQ(detect_launcher(), launcher) << name_of(detect_launcher());
  EXPECT_EQ(launched_rank(), rank);
  EXPECT_EQ(launched_size(), size);
}

TEST(Launcher, TheFamilyOfAnMpiIsReadFromItsOwnWords) {
  EXPECT_EQ(mpi_family("mpirun (Open MPI) 4.1.4"), "Open MPI");
  EXPECT_EQ(mpi_family("mpirun.real (OpenRTE) 4.0.3"), "Open MPI");
  EXPECT_EQ(mpi_family("HYDRA build details:"), "MPICH");
  EXPECT_EQ(mpi_family("Intel(R) MPI Library for Linux* OS, Version 2021.5"), "Intel MPI");
  EXPECT_EQ(mpi_family("something else 1.0"), "");
  EXPECT_FALSE(mpi_here().built_with.empty());
}

// The command of a report can be typed again as it stands.
TEST(Launcher, TheCommandNamesWhatTheLaunchNeeded) {
  const std::map<std::string, std::string> two{{"OMPI_COMM_WORLD_RANK", "0"},
                                               {"OMPI_COMM_WORLD_SIZE", "2"}};
  const auto prefix = [&](std::map<std::string, std::string> more) {
    more.insert(two.begin(), two.end());
    const Environment environment(more);
    return launch_prefix();
  };
  EXPECT_EQ(prefix({}), "mpirun -n 2 ");
  EXPECT_EQ(prefix({{"OMPI_ALLOW_RUN_AS_ROOT", "1"}}),
            ::geteuid() == 0 ? "OMPI_ALLOW_RUN_AS_ROOT=1 mpirun -n 2 " : "mpirun -n 2 ");
  const char* more = "OMPI_MCA_rmaps_base_oversubscribe";
  EXPECT_EQ(prefix({{more, "1"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}}), "mpirun -n 2 ");
  EXPECT_EQ(prefix({{more, "1"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "100000"}}),
            fmt::format("{}=1 mpirun -n 2 ", more));
  const Environment nobody({});
  EXPECT_EQ(launch_prefix(), "");
}

// As root, Open MPI wants to be told twice; and once more for more ranks than cores.
TEST(Launcher, WhatIsMissingIsTheLineToType) {
  const MpiHere bare = [] {
    const Environment environment({});
    return mpi_here();
  }();
  const Environment told({{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                          {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                          {"OMPI_MCA_rmaps_base_oversubscribe", "1"}});
  EXPECT_EQ(mpi_here().needs + mpi_here().for_more, "");
  const bool open_mpi = mpi_family(bare.launcher) == "Open MPI";
  EXPECT_EQ(bare.for_more, open_mpi ? "export OMPI_MCA_rmaps_base_oversubscribe=1" : "");
  EXPECT_EQ(bare.needs, open_mpi && ::geteuid() == 0
                            ? "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
                            : "");
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
