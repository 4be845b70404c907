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
int launched_local_size();  // on this host; 1 where the environment does not say
int launched_local_rank();  // among them; launched_rank() where the environment does not say

// What starts this launch again, up to the program: "mpirun -n 4 ", with the variables before it
// that this machine needs for it; "" for one process.
std::string launch_prefix();

// What starting more ranks takes on this machine.
struct MpiHere {
  std::string built_with;   // "Open MPI 4.1.4"
  std::string launcher;     // the first line of `mpirun --version`; "" where there is no mpirun
  bool same_family = true;  // as far as that line says
  int slots = 1;            // ranks that mpirun starts without being told more
  std::string needs;     // the line to type before mpirun works at all; "" when nothing is missing
  std::string for_more;  // the line to type before it starts more ranks than slots; ""
};
MpiHere mpi_here();
// "Open MPI", "MPICH", "Intel MPI", or "" for what is unknown; from a line such as the launcher's.
std::string mpi_family(const std::string& text);

// Under torchrun, which starts no MPI, throws Error(config) that says to use mpirun or srun.
void require_launcher_of_mpi();

class World {
 public:
  // Starts MPI (FUNNELED), which takes a launcher of it.
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
  // Cores for this rank's threads: those that it may run on, divided among the ranks of its host
  // that may run on some of them too. At least 1.
  int cores() const;
  const std::vector<std::string>& hosts() const;  // host name of each rank
  std::shared_ptr<Communicator> host();  // all ranks, host buffers: for control data between steps

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit World(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ocoee::comm
