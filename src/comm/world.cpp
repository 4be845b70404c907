// SPDX-License-Identifier: Apache-2.0
#include "comm/world.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <numeric>

#include "comm/backend.h"
#include "comm/mpi_support.h"
#include "comm/world_impl.h"
#include "core/error.h"
#include "core/host.h"
#include "core/text.h"

namespace ocoee::comm {
namespace {

// What Open MPI should know before it starts; whatever the user has set stays.
void prepare_environment() {
  const auto set = [](const char* name, const char* value) { ::setenv(name, value, 0); };
  set("OMPI_MCA_btl_base_warn_component_unused", "0");
  // More ranks than cores: a rank that waits must give its core away.
  const char* ranks_here = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (ranks_here && std::atol(ranks_here) > ::sysconf(_SC_NPROCESSORS_ONLN))
    set("OMPI_MCA_mpi_yield_when_idle", "1");
  // Containers often forbid one process to read another's memory; Open MPI then prints an error for
  // each message.
  char from = 1, to = 0;
  const iovec local{&to, 1}, remote{&from, 1};
  if (::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) != 1)
    set("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
}

void start_mpi(Launcher launcher) {
  prepare_environment();
  const int promised = launched_size();  // before MPI_Init, which sets variables of its own
  int provided = 0, size = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD,
                          MPI_ERRORS_RETURN);  // requests without a communicator report there
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (provided < MPI_THREAD_FUNNELED)
    fail(ErrorKind::config, "this MPI does not allow programs with threads (MPI_THREAD_FUNNELED)");
  if (size == promised || promised == 1) return;
  MPI_Finalize();
  fail(
      ErrorKind::config,
      "{} started {} processes, but each MPI sees {}: the program was built with another MPI than "
      "the one that starts it\n    fix: {}",
      name_of(launcher), promised, size,
      launcher == Launcher::srun
          ? "srun --mpi=pmix (or pmi2; srun --mpi=list names them), or mpirun inside the allocation"
          : "use the mpirun of the MPI that this program was built with (ocoee doctor names it)");
}

// World::cores(). Collective.
int shared_cores(const World::Impl& impl) {
  const std::vector<int> mine = usable_cores();
  std::vector<std::string> words;
  for (const int core : mine) words.push_back(std::to_string(core));
  const std::vector<std::string> all = impl.host->all_gather_text(join(words, " "));
  size_t sharing = 0;
  for (size_t r = 0; r < all.size(); ++r) {
    if (impl.hosts[r] != impl.hosts[static_cast<size_t>(impl.rank)]) continue;
    const std::vector<std::string> theirs = split(all[r], ' ');
    sharing += std::any_of(theirs.begin(), theirs.end(), [&](const std::string& core) {
      return std::binary_search(mine.begin(), mine.end(), std::stoi(core));
    });
  }
  return static_cast<int>(std::max<size_t>(1, mine.size() / std::max<size_t>(1, sharing)));
}

}  // namespace

World::World(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
World::World(World&&) noexcept = default;
World& World::operator=(World&&) noexcept = default;

World::~World() {
  if (!impl_) return;
  impl_->host.reset();
  if (!impl_->has_mpi) return;
  // When this rank fails alone, the peers will not come to MPI_Finalize: leave without, and let the
  // launcher see it.
  if (std::uncaught_exceptions() > 0 && impl_->size > 1) return;
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized) return;
  MPI_Comm_free(&impl_->mpi);
  if (impl_->started_mpi) MPI_Finalize();
}

World World::alone() {
  auto impl = std::make_unique<Impl>();
  impl->hosts = {host_name()};
  impl->cores = static_cast<int>(usable_cores().size());
  impl->host = make_self_communicator("world", 0);
  return World(std::move(impl));
}

World World::start() {
  const Launcher launcher = detect_launcher();
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (!initialized) require_launcher_of_mpi();
  // Nobody launched us: a world of one needs no MPI, and starts in no time.
  if (launcher == Launcher::none && !initialized) return alone();
  if (!initialized) start_mpi(launcher);
  auto impl = std::make_unique<Impl>();
  impl->has_mpi = true;
  impl->started_mpi = !initialized;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &impl->mpi), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(impl->mpi,
                          MPI_ERRORS_RETURN);  // handed down to all that are split from it
  MPI_Comm_rank(impl->mpi, &impl->rank);
  MPI_Comm_size(impl->mpi, &impl->size);
  if (impl->size == 1) {
    impl->host = make_self_communicator("world", 0);
  } else {
    std::vector<int> ranks(static_cast<size_t>(impl->size));
    std::iota(ranks.begin(), ranks.end(), 0);
    MPI_Comm copy = MPI_COMM_NULL;
    check_mpi(MPI_Comm_dup(impl->mpi, &copy), "MPI_Comm_dup");
    impl->host = make_mpi_communicator("world", copy, ranks);
  }
  impl->hosts = impl->host->all_gather_text(host_name());
  impl->local_size = 0;
  for (int r = 0; r < impl->size; ++r) {
    if (impl->hosts[static_cast<size_t>(r)] != impl->hosts[static_cast<size_t>(impl->rank)])
      continue;
    if (r < impl->rank) ++impl->local_rank;
    ++impl->local_size;
  }
  impl->cores = shared_cores(*impl);
  return World(std::move(impl));
}

int World::rank() const {
  return impl_->rank;
}
int World::size() const {
  return impl_->size;
}
int World::local_rank() const {
  return impl_->local_rank;
}
int World::local_size() const {
  return impl_->local_size;
}
int World::cores() const {
  return impl_->cores;
}
const std::vector<std::string>& World::hosts() const {
  return impl_->hosts;
}
std::shared_ptr<Communicator> World::host() {
  return impl_->host;
}

}  // namespace ocoee::comm
