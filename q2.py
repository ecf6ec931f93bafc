import sys; exec(open('/tmp/ex/prof_dagmm.py').read().split('with profile')[0].replace('import sys; sys.argv=[\'x\']','import sys'))
import resource
f=resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    t=time.process_time(); go(); go(); go(); print((time.process_time()-t)/600*1e3,"ms", (resource.getrusage(resource.RUSAGE_SELF).ru_minflt-f)/600,'faults'); f=resource.getrusage(resource.RUSAGE_SELF).ru_minflt
