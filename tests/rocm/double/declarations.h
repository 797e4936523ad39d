// What the double declares of HIP 6, hiprtc, rocBLAS 4 and MIOpen 3 where their headers are not to be had: a frozen
// set, of what it defines alone. It compiles the double and proves nothing about signatures; the real headers do.
#pragma once
#include <stddef.h>
#include <stdint.h>

extern "C" {
// HIP
enum hipError_t {
  hipSuccess = 0,
  hipErrorInvalidValue = 1,
  hipErrorOutOfMemory = 2,
  hipErrorInvalidConfiguration = 9,
  hipErrorInvalidMemcpyDirection = 21,
  hipErrorNoDevice = 100,
  hipErrorInvalidDevice = 101,
  hipErrorInvalidImage = 200,
  hipErrorNoBinaryForGpu = 209,
  hipErrorInvalidHandle = 400,
  hipErrorNotFound = 500,
  hipErrorNotReady = 600,
  hipErrorIllegalAddress = 700,
  hipErrorLaunchTimeOut = 702,
  hipErrorUnknown = 999
};
enum hipMemcpyKind {
  hipMemcpyHostToHost,
  hipMemcpyHostToDevice,
  hipMemcpyDeviceToHost,
  hipMemcpyDeviceToDevice,
  hipMemcpyDefault
};
#define hipStreamNonBlocking 0x01
#define HIP_LAUNCH_PARAM_BUFFER_POINTER ((void*)0x01)
#define HIP_LAUNCH_PARAM_BUFFER_SIZE ((void*)0x02)
#define HIP_LAUNCH_PARAM_END ((void*)0x03)
#define hipGetDeviceProperties hipGetDevicePropertiesR0600
typedef struct ihipStream_t* hipStream_t;
typedef struct ihipEvent_t* hipEvent_t;
typedef struct ihipModule_t* hipModule_t;
typedef struct ihipModuleSymbol_t* hipFunction_t;
struct hipDeviceProp_t {  // gaps stand for what is not used
  char name[256], gap0[32];
  size_t totalGlobalMem, sharedMemPerBlock;
  char gap1[4];
  int warpSize;
  char gap2[8];
  int maxThreadsPerBlock;
  char gap3[24];
  int clockRate;
  char gap4[36];
  int multiProcessorCount;
  char gap5[4];
  int integrated;
  char gap51[208];
  int memoryClockRate, memoryBusWidth, l2CacheSize;
  char gap6[540], gcnArchName[256];
  size_t maxSharedMemoryPerMultiProcessor;
  char gap7[48];
};
hipError_t hipRuntimeGetVersion(int*);
hipError_t hipDeviceSynchronize();
hipError_t hipSetDevice(int);
hipError_t hipGetDevice(int*);
hipError_t hipGetDeviceCount(int*);
hipError_t hipGetDeviceProperties(hipDeviceProp_t*, int);
const char* hipGetErrorName(hipError_t);
const char* hipGetErrorString(hipError_t);
hipError_t hipStreamCreateWithFlags(hipStream_t*, unsigned);
hipError_t hipStreamDestroy(hipStream_t);
hipError_t hipStreamQuery(hipStream_t);
hipError_t hipStreamSynchronize(hipStream_t);
hipError_t hipStreamWaitEvent(hipStream_t, hipEvent_t, unsigned);
hipError_t hipEventCreate(hipEvent_t*);
hipError_t hipEventRecord(hipEvent_t, hipStream_t);
hipError_t hipEventDestroy(hipEvent_t);
hipError_t hipEventSynchronize(hipEvent_t);
hipError_t hipEventElapsedTime(float*, hipEvent_t, hipEvent_t);
hipError_t hipEventQuery(hipEvent_t);
hipError_t hipMalloc(void**, size_t);
hipError_t hipFree(void*);
hipError_t hipHostMalloc(void**, size_t, unsigned);
hipError_t hipHostFree(void*);
hipError_t hipHostGetDevicePointer(void**, void*, unsigned);
hipError_t hipMemcpy(void*, const void*, size_t, hipMemcpyKind);
hipError_t hipMemcpyAsync(void*, const void*, size_t, hipMemcpyKind, hipStream_t);
hipError_t hipMemsetAsync(void*, int, size_t, hipStream_t);
hipError_t hipMemGetInfo(size_t*, size_t*);
hipError_t hipModuleLoadData(hipModule_t*, const void*);
hipError_t hipModuleUnload(hipModule_t);
hipError_t hipModuleGetFunction(hipFunction_t*, hipModule_t, const char*);
hipError_t hipModuleLaunchKernel(hipFunction_t, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                                 hipStream_t, void**, void**);

// hiprtc
enum hiprtcResult {
  HIPRTC_SUCCESS = 0,
  HIPRTC_ERROR_INVALID_INPUT = 3,
  HIPRTC_ERROR_INVALID_PROGRAM = 4,
  HIPRTC_ERROR_INVALID_OPTION = 5,
  HIPRTC_ERROR_COMPILATION = 6,
  HIPRTC_ERROR_INTERNAL_ERROR = 11
};
typedef struct _hiprtcProgram* hiprtcProgram;
const char* hiprtcGetErrorString(hiprtcResult);
hiprtcResult hiprtcVersion(int*, int*);
hiprtcResult hiprtcCreateProgram(hiprtcProgram*, const char*, const char*, int, const char**, const char**);
hiprtcResult hiprtcDestroyProgram(hiprtcProgram*);
hiprtcResult hiprtcCompileProgram(hiprtcProgram, int, const char**);
hiprtcResult hiprtcGetProgramLogSize(hiprtcProgram, size_t*);
hiprtcResult hiprtcGetProgramLog(hiprtcProgram, char*);
hiprtcResult hiprtcGetCodeSize(hiprtcProgram, size_t*);
hiprtcResult hiprtcGetCode(hiprtcProgram, char*);

// rocBLAS
typedef int32_t rocblas_int;
typedef int64_t rocblas_stride;
typedef struct _rocblas_handle* rocblas_handle;
enum rocblas_operation { rocblas_operation_none = 111, rocblas_operation_transpose = 112 };
enum rocblas_datatype {
  rocblas_datatype_f16_r = 150,
  rocblas_datatype_f32_r = 151,
  rocblas_datatype_i8_r = 160,
  rocblas_datatype_i32_r = 162,
  rocblas_datatype_bf16_r = 168
};
enum rocblas_gemm_algo { rocblas_gemm_algo_standard };
enum rocblas_atomics_mode { rocblas_atomics_not_allowed, rocblas_atomics_allowed };
enum rocblas_status {
  rocblas_status_success = 0,
  rocblas_status_invalid_handle = 1,
  rocblas_status_not_implemented = 2,
  rocblas_status_invalid_pointer = 3,
  rocblas_status_invalid_size = 4,
  rocblas_status_memory_error = 5,
  rocblas_status_internal_error = 6,
  rocblas_status_invalid_value = 11
};
rocblas_status rocblas_create_handle(rocblas_handle*);
rocblas_status rocblas_destroy_handle(rocblas_handle);
rocblas_status rocblas_set_stream(rocblas_handle, hipStream_t);
rocblas_status rocblas_set_atomics_mode(rocblas_handle, rocblas_atomics_mode);
rocblas_status rocblas_get_atomics_mode(rocblas_handle, rocblas_atomics_mode*);
rocblas_status rocblas_gemm_ex(rocblas_handle, rocblas_operation, rocblas_operation, rocblas_int, rocblas_int,
                               rocblas_int, const void*, const void*, rocblas_datatype, rocblas_int, const void*,
                               rocblas_datatype, rocblas_int, const void*, const void*, rocblas_datatype, rocblas_int,
                               void*, rocblas_datatype, rocblas_int, rocblas_datatype, rocblas_gemm_algo, int32_t,
                               uint32_t);
rocblas_status rocblas_gemm_strided_batched_ex(rocblas_handle, rocblas_operation, rocblas_operation, rocblas_int,
                                               rocblas_int, rocblas_int, const void*, const void*, rocblas_datatype,
                                               rocblas_int, rocblas_stride, const void*, rocblas_datatype, rocblas_int,
                                               rocblas_stride, const void*, const void*, rocblas_datatype, rocblas_int,
                                               rocblas_stride, void*, rocblas_datatype, rocblas_int, rocblas_stride,
                                               rocblas_int, rocblas_datatype, rocblas_gemm_algo, int32_t, uint32_t);
const char* rocblas_status_to_string(rocblas_status);
rocblas_status rocblas_get_version_string(char*, size_t);
rocblas_status rocblas_get_version_string_size(size_t*);

// MIOpen
enum miopenStatus_t {
  miopenStatusSuccess,
  miopenStatusNotInitialized,
  miopenStatusInvalidValue,
  miopenStatusBadParm,
  miopenStatusAllocFailed,
  miopenStatusInternalError,
  miopenStatusNotImplemented,
  miopenStatusUnknownError
};
enum miopenDataType_t { miopenHalf = 0, miopenFloat = 1, miopenBFloat16 = 5 };
enum miopenTensorOp_t { miopenTensorOpAdd, miopenTensorOpMul };
enum miopenConvolutionMode_t { miopenConvolution };
enum miopenPoolingMode_t { miopenPoolingMax, miopenPoolingAverage, miopenPoolingAverageInclusive };
enum miopenBatchNormMode_t { miopenBNPerActivation, miopenBNSpatial };
enum miopenActivationMode_t {
  miopenActivationPASTHRU,
  miopenActivationLOGISTIC,
  miopenActivationTANH,
  miopenActivationRELU,
  miopenActivationSOFTRELU,
  miopenActivationABS,
  miopenActivationPOWER,
  miopenActivationCLIPPEDRELU,
  miopenActivationLEAKYRELU,
  miopenActivationELU
};
enum miopenSoftmaxAlgorithm_t { MIOPEN_SOFTMAX_FAST, MIOPEN_SOFTMAX_ACCURATE };
enum miopenSoftmaxMode_t { MIOPEN_SOFTMAX_MODE_INSTANCE, MIOPEN_SOFTMAX_MODE_CHANNEL };
enum miopenIndexType_t { miopenIndexUint8, miopenIndexUint16, miopenIndexUint32, miopenIndexUint64 };
enum miopenConvFwdAlgorithm_t {
  miopenConvolutionFwdAlgoGEMM,
  miopenConvolutionFwdAlgoDirect,
  miopenConvolutionFwdAlgoWinograd = 3
};
enum miopenConvAlgorithm_t {
  miopenConvolutionAlgoGEMM,
  miopenConvolutionAlgoDirect,
  miopenConvolutionAlgoWinograd = 3
};
struct miopenConvAlgoPerf_t {
  miopenConvFwdAlgorithm_t fwd_algo;
  float time;
  size_t memory;
};
struct miopenConvSolution_t {
  float time;
  size_t workspace_size;
  uint64_t solution_id;
  miopenConvAlgorithm_t algorithm;
};
typedef struct miopenHandle* miopenHandle_t;
typedef struct miopenTensorDescriptor* miopenTensorDescriptor_t;
typedef struct miopenConvolutionDescriptor* miopenConvolutionDescriptor_t;
typedef struct miopenPoolingDescriptor* miopenPoolingDescriptor_t;
typedef struct miopenActivationDescriptor* miopenActivationDescriptor_t;
typedef hipStream_t miopenAcceleratorQueue_t;
miopenStatus_t miopenGetVersion(size_t*, size_t*, size_t*);
const char* miopenGetErrorString(miopenStatus_t);
miopenStatus_t miopenCreateWithStream(miopenHandle_t*, miopenAcceleratorQueue_t);
miopenStatus_t miopenDestroy(miopenHandle_t);
miopenStatus_t miopenCreateTensorDescriptor(miopenTensorDescriptor_t*);
miopenStatus_t miopenSet4dTensorDescriptor(miopenTensorDescriptor_t, miopenDataType_t, int, int, int, int);
miopenStatus_t miopenDestroyTensorDescriptor(miopenTensorDescriptor_t);
miopenStatus_t miopenOpTensor(miopenHandle_t, miopenTensorOp_t, const void*, miopenTensorDescriptor_t, const void*,
                              const void*, miopenTensorDescriptor_t, const void*, const void*, miopenTensorDescriptor_t,
                              void*);
miopenStatus_t miopenCreateConvolutionDescriptor(miopenConvolutionDescriptor_t*);
miopenStatus_t miopenInitConvolutionDescriptor(miopenConvolutionDescriptor_t, miopenConvolutionMode_t, int, int, int,
                                               int, int, int);
miopenStatus_t miopenSetConvolutionGroupCount(miopenConvolutionDescriptor_t, int);
miopenStatus_t miopenDestroyConvolutionDescriptor(miopenConvolutionDescriptor_t);
miopenStatus_t miopenConvolutionForwardGetWorkSpaceSize(miopenHandle_t, miopenTensorDescriptor_t,
                                                        miopenTensorDescriptor_t, miopenConvolutionDescriptor_t,
                                                        miopenTensorDescriptor_t, size_t*);
miopenStatus_t miopenFindConvolutionForwardAlgorithm(miopenHandle_t, miopenTensorDescriptor_t, const void*,
                                                     miopenTensorDescriptor_t, const void*,
                                                     miopenConvolutionDescriptor_t, miopenTensorDescriptor_t, void*,
                                                     const int, int*, miopenConvAlgoPerf_t*, void*, size_t, bool);
miopenStatus_t miopenConvolutionForwardGetSolutionCount(miopenHandle_t, miopenTensorDescriptor_t,
                                                        miopenTensorDescriptor_t, miopenConvolutionDescriptor_t,
                                                        miopenTensorDescriptor_t, size_t*);
miopenStatus_t miopenConvolutionForwardGetSolution(miopenHandle_t, miopenTensorDescriptor_t, miopenTensorDescriptor_t,
                                                   miopenConvolutionDescriptor_t, miopenTensorDescriptor_t,
                                                   const size_t, size_t*, miopenConvSolution_t*);
miopenStatus_t miopenConvolutionForwardCompileSolution(miopenHandle_t, miopenTensorDescriptor_t,
                                                       miopenTensorDescriptor_t, miopenConvolutionDescriptor_t,
                                                       miopenTensorDescriptor_t, const uint64_t);
miopenStatus_t miopenConvolutionForwardImmediate(miopenHandle_t, miopenTensorDescriptor_t, const void*,
                                                 miopenTensorDescriptor_t, const void*, miopenConvolutionDescriptor_t,
                                                 miopenTensorDescriptor_t, void*, void*, size_t, const uint64_t);
miopenStatus_t miopenCreatePoolingDescriptor(miopenPoolingDescriptor_t*);
miopenStatus_t miopenSet2dPoolingDescriptor(miopenPoolingDescriptor_t, miopenPoolingMode_t, int, int, int, int, int,
                                            int);
miopenStatus_t miopenSetPoolingIndexType(miopenPoolingDescriptor_t, miopenIndexType_t);
miopenStatus_t miopenPoolingForward(miopenHandle_t, miopenPoolingDescriptor_t, const void*, miopenTensorDescriptor_t,
                                    const void*, const void*, miopenTensorDescriptor_t, void*, bool, void*, size_t);
miopenStatus_t miopenDestroyPoolingDescriptor(miopenPoolingDescriptor_t);
miopenStatus_t miopenDeriveBNTensorDescriptor(miopenTensorDescriptor_t, miopenTensorDescriptor_t,
                                              miopenBatchNormMode_t);
miopenStatus_t miopenBatchNormalizationForwardInference(miopenHandle_t, miopenBatchNormMode_t, void*, void*,
                                                        miopenTensorDescriptor_t, const void*, miopenTensorDescriptor_t,
                                                        void*, miopenTensorDescriptor_t, void*, void*, void*, void*,
                                                        double);
miopenStatus_t miopenCreateActivationDescriptor(miopenActivationDescriptor_t*);
miopenStatus_t miopenSetActivationDescriptor(miopenActivationDescriptor_t, miopenActivationMode_t, double, double,
                                             double);
miopenStatus_t miopenActivationForward(miopenHandle_t, miopenActivationDescriptor_t, const void*,
                                       miopenTensorDescriptor_t, const void*, const void*, miopenTensorDescriptor_t,
                                       void*);
miopenStatus_t miopenDestroyActivationDescriptor(miopenActivationDescriptor_t);
miopenStatus_t miopenSoftmaxForward_V2(miopenHandle_t, const void*, miopenTensorDescriptor_t, const void*, const void*,
                                       miopenTensorDescriptor_t, void*, miopenSoftmaxAlgorithm_t, miopenSoftmaxMode_t);
}
