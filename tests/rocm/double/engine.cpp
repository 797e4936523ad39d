// Runs a kernel's blocks and threads on one CPU thread. Each thread of a block is a fiber: it runs until it ends or
// comes to a barrier, then the next one does. Faults of memory are caught, so that a wrong kernel is an error of the
// launch and not the end of the process.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>
#include "double.h"

// Saves the registers that a function must keep on this stack, leaves its top in *from, and goes on on the stack `to`.
extern "C" void double_switch(void** from, void* to);
asm(R"(.text
.globl double_switch
.hidden double_switch
.type double_switch, @function
double_switch:
  push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
  ret
)");

namespace {
constexpr unsigned most_threads = 1024;
constexpr size_t stack_bytes = 192 << 10, guard_bytes = 64 << 10, handler_bytes = 64 << 10;
enum State { fresh, ready, waiting, ended };
struct Thread {
  double_uint3 id;
  State state;
  void* top;  // of its stack, while it waits
  unsigned stack;
  int line;  // of the barrier that it waits at
};

const Launch* launch;
Thread threads[most_threads];
std::vector<unsigned> turns;  // the order in which a block's threads run
std::vector<unsigned> free_stacks;
unsigned turn, alive;
char *stacks, *handler_stack;
void* scheduler;  // the top of the stack that starts threads
std::string problem;
sigjmp_buf escape;
volatile sig_atomic_t fault_signal;
volatile void* fault_address;

std::string text(double_uint3 v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}
std::string where(const Thread& t) { return "block " + text(launch->module->runtime->block) + " thread " + text(t.id); }
Thread& current() { return threads[turns[turn]]; }
void enter(Thread& t) { launch->module->runtime->thread = t.id; }

// What a fiber does. A thread that has not begun goes on on this stack, so that a kernel without barriers never
// switches.
void fiber() {
  for (;;) {
    launch->kernel->run(launch->arguments);
    Thread& t = current();
    t.state = ended;
    alive--;
    const unsigned stack = t.stack;
    if (turn + 1 < turns.size() && threads[turns[turn + 1]].state == fresh) {
      turn++;
      current().stack = stack;
      enter(current());
      continue;
    }
    free_stacks.push_back(stack);
    double_switch(&t.top, scheduler);
  }
}

void barrier(int line) {
  Thread& t = current();
  t.state = waiting;
  t.line = line;
  double_switch(&t.top, scheduler);
}

void run_thread(Thread& t) {
  if (t.state == fresh) {
    t.stack = free_stacks.back();
    free_stacks.pop_back();
    // The tops are spread over the cache's sets; below a top lie the return address and six registers to pop.
    void** top = (void**)(stacks + (t.stack + 1) * stack_bytes - 64 - t.stack % 28 * 128);
    *--top = nullptr;
    *--top = (void*)fiber;
    t.top = top - 6;
  }
  enter(t);
  double_switch(&scheduler, t.top);
}

// Every thread has ended or waits: lets them pass the barrier, if it is the same one and all of them have come.
bool pass_barrier() {
  const Thread* first = nullptr;
  for (unsigned i : turns) {
    Thread& t = threads[i];
    if (t.state != waiting) continue;
    if (first && first->line != t.line) {
      problem = "the threads of a block wait at the barriers of lines " + std::to_string(first->line) + " and " +
                std::to_string(t.line) + ", " + where(t);
      return false;
    }
    first = first ? first : &t;
    t.state = ready;
  }
  if (alive == turns.size()) return true;
  problem =
      "threads have ended without coming to the barrier of line " + std::to_string(first->line) + ", " + where(*first);
  return false;
}

bool run_block() {
  for (unsigned i : turns) threads[i].state = fresh;
  alive = turns.size();
  for (;;) {
    for (turn = 0; turn < turns.size(); turn++) {
      Thread& t = current();
      if (t.state == fresh || t.state == ready) run_thread(t);
    }
    if (!alive) return true;
    if (!pass_barrier()) return false;
  }
}

// Neither threads nor blocks have an order: 0 is forward, 1 backward, any other number seeds a shuffle.
void arrange(std::vector<unsigned>& list, size_t count, int order) {
  list.resize(count);
  std::iota(list.begin(), list.end(), 0u);
  if (order == 1) std::reverse(list.begin(), list.end());
  if (order > 1) std::shuffle(list.begin(), list.end(), std::mt19937(order));
}

void on_signal(int number, siginfo_t* info, void*) {
  fault_signal = number;
  fault_address = info->si_addr;
  siglongjmp(escape, 1);
}

void run_blocks(int order) {
  const double_module& m = *launch->module;
  const double_uint3 grid = launch->grid;
  std::vector<unsigned> blocks;
  arrange(blocks, size_t(grid.x) * grid.y * grid.z, order);
  for (unsigned b : blocks) {
    m.runtime->block = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    for (double_shared* s = *m.shared; s; s = s->next) memset(s->start, 0xFF, s->bytes);  // not a number
    if (!run_block()) return;
  }
}

std::string fault(std::string (*describe)(const void*)) {
  const std::string at = ", " + where(current());
  const char* address = (const char*)fault_address;
  if (fault_signal == SIGFPE) return "a whole number divided by zero" + at;
  if (address >= stacks && address < stacks + most_threads * stack_bytes) return "the thread's stack is full" + at;
  if (!address) return "an access through a pointer that is no device address" + at;
  return "a memory access fault, " + describe(address) + at;
}
}  // namespace

std::string run_kernel(const Launch& l, int order, std::string (*describe)(const void*)) {
  launch = &l;
  double_runtime& rt = *l.module->runtime;
  rt.block_dim = l.block;
  rt.grid_dim = l.grid;
  rt.barrier = barrier;
  if (!stacks) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    stacks = (char*)mmap(nullptr, most_threads * stack_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    for (unsigned i = 0; i < most_threads; i++) mprotect(stacks + i * stack_bytes, guard_bytes, PROT_NONE);
    handler_stack = (char*)mmap(nullptr, handler_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  }
  arrange(turns, size_t(l.block.x) * l.block.y * l.block.z, order);
  arrange(free_stacks, turns.size(), 1);
  for (unsigned i = 0; i < turns.size(); i++)
    threads[i].id = {i % l.block.x, i / l.block.x % l.block.y, i / (l.block.x * l.block.y)};
  problem.clear();

  stack_t ours{}, theirs{};
  ours.ss_sp = handler_stack;
  ours.ss_size = handler_bytes;
  sigaltstack(&ours, &theirs);
  struct sigaction action{}, before[3];
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  const int signals[3] = {SIGSEGV, SIGBUS, SIGFPE};
  for (int i = 0; i < 3; i++) sigaction(signals[i], &action, &before[i]);
  if (sigsetjmp(escape, 1)) problem = fault(describe);
  else run_blocks(order);
  for (int i = 0; i < 3; i++) sigaction(signals[i], &before[i], nullptr);
  sigaltstack(&theirs, nullptr);
  return problem.empty() ? "" : std::string(l.kernel->name) + ": " + problem;
}
