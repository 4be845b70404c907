// SPDX-License-Identifier: Apache-2.0
#include "comm/world.h"

#include <unistd.h>

#include <numeric>

#include "comm/mpi_support.h"
#include "comm/world_impl.h"
#include "core/error.h"

namespace ocoee::comm {
namespace {

std::string host_name() {
  char name[256] = "unknown";
  ::gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace

World::World(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
World::World(World&&) noexcept = default;
World& World::operator=(World&&) noexcept = default;

World::~World() {
  if (!impl_) return;
  impl_->host.reset();
  if (!impl_->has_mpi) return;
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized) return;
  MPI_Comm_free(&impl_->mpi);
  if (impl_->started_mpi) MPI_Finalize();
}

World World::alone() {
  auto impl = std::make_unique<Impl>();
  impl->hosts = {host_name()};
  impl->host = make_self_communicator("world", 0);
  return World(std::move(impl));
}

World World::start() {
  const Launcher launcher = detect_launcher();
  if (launcher == Launcher::torchrun) {
    fail(ErrorKind::config,
         "torchrun started this process, but it starts no MPI\n    fix: mpirun -n RANKS ocoee run RECIPE, or srun under Slurm");
  }
  int initialized = 0;
  MPI_Initialized(&initialized);
  // Nobody launched us: a world of one needs no MPI, and starts in no time.
  if (launcher == Launcher::none && !initialized) return alone();
  auto impl = std::make_unique<Impl>();
  impl->has_mpi = true;
  if (!initialized) {
    int provided = 0;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    impl->started_mpi = true;
  }
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &impl->mpi), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(impl->mpi, MPI_ERRORS_RETURN);
  MPI_Comm_rank(impl->mpi, &impl->rank);
  MPI_Comm_size(impl->mpi, &impl->size);
  std::vector<int> ranks(static_cast<size_t>(impl->size));
  std::iota(ranks.begin(), ranks.end(), 0);
  MPI_Comm copy = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(impl->mpi, &copy), "MPI_Comm_dup");
  impl->host = make_mpi_communicator("world", copy, ranks, false);
  impl->hosts = impl->host->all_gather_text(host_name());
  impl->local_size = 0;
  for (int r = 0; r < impl->size; ++r) {
    if (impl->hosts[static_cast<size_t>(r)] != impl->hosts[static_cast<size_t>(impl->rank)]) continue;
    if (r < impl->rank) ++impl->local_rank;
    ++impl->local_size;
  }
  return World(std::move(impl));
}

int World::rank() const { return impl_->rank; }
int World::size() const { return impl_->size; }
int World::local_rank() const { return impl_->local_rank; }
int World::local_size() const { return impl_->local_size; }
const std::vector<std::string>& World::hosts() const { return impl_->hosts; }
std::shared_ptr<Communicator> World::host() { return impl_->host; }

}  // namespace ocoee::comm
