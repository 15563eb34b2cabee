from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0007_attempt_session"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="place",
            field=models.PositiveIntegerField(
                blank=True, help_text="Its place among the runs of its agent, once somebody has moved one.", null=True
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="taken_at",
            field=models.DateTimeField(blank=True, help_text="When a worker took it from the queue.", null=True),
        ),
    ]
