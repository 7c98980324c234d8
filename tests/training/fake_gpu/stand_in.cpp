// A stand-in for CUDA in a build of PyTorch without it, for fake tensors, which have devices and no data.
// The autograd engine wants to know of a device's streams, and a generator belongs to one: here nothing runs.
// To be loaded before torch is imported: PyTorch looks once for CUDA.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace {

const c10::Device gpu{at::kCUDA, 0};

struct Generator : at::CPUGeneratorImpl {
  Generator() {
    device_ = gpu;
    key_set_ = c10::DispatchKeySet(c10::DispatchKey::CUDA);
  }
};

struct CUDAHooks : at::CUDAHooksInterface {
  explicit CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(at::DeviceIndex) const override { return false; }
  at::DeviceIndex deviceCount() const override { return 1; }
  at::DeviceIndex current_device() const override { return 0; }
  at::DeviceIndex getCurrentDevice() const override { return 0; }
  at::Generator getNewGenerator(at::DeviceIndex) const override { return at::make_generator<Generator>(); }
};

struct Guard : c10::impl::NoOpDeviceGuardImpl<at::kCUDA> {
  c10::Device getDevice() const override { return gpu; }
  c10::Device exchangeDevice(c10::Device) const override { return gpu; }
  c10::Stream getStream(c10::Device) const noexcept override { return stream; }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream; }
  void record(void**, const c10::Stream&, const at::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }

  const c10::Stream stream{c10::Stream::DEFAULT, gpu};
};

} // namespace

namespace at { REGISTER_CUDA_HOOKS(CUDAHooks) }
namespace c10::impl { C10_REGISTER_GUARD_IMPL(CUDA, Guard) }
