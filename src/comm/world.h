// SPDX-License-Identifier: Apache-2.0
// The process among its peers. MPI is started once, by the program, and stopped when the World
// goes.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace ocoee::comm {

class Communicator;

// Who started this process, found from the environment: explicit MPI variables, Slurm, torchrun, or
// nobody.
enum class Launcher { none, mpirun, srun, torchrun };
Launcher detect_launcher();
std::string name_of(Launcher launcher);
// Rank and size that the launcher's environment promises, before MPI is started: for checks and for
// who may speak.
int launched_rank();
int launched_size();

class World {
 public:
  // Starts MPI (FUNNELED). Under torchrun, which starts no MPI, throws Error(config) that says to
  // use mpirun or srun.
  static World start();
  // A world of one, without MPI: for verbs that never talk to peers.
  static World alone();
  ~World();
  World(World&&) noexcept;
  World& operator=(World&&) noexcept;

  int rank() const;
  int size() const;
  int local_rank() const;  // among the ranks of this host
  int local_size() const;
  const std::vector<std::string>& hosts() const;  // host name of each rank
  std::shared_ptr<Communicator> host();  // all ranks, host buffers: for control data between steps

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit World(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ocoee::comm
